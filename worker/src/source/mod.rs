//! The three vendors behind [`proto::source::Source`]: 8x8 Analytics for Work, Webex Calling, Intercom.
//!
//! An adapter is two pure functions and the few lines that join them: `request(unit, cursor)` says what to ask,
//! `read(unit, answer)` says what the answer means, and `fetch` sends the one and reads the other through the session
//! (`session`: credentials) and the HTTP client (`http`: pace, time limits, the short retry). What a failure means
//! for a message is decided elsewhere, from [`proto::source::SourceError::fault`].
//!
//! All limits of an account (rates, tokens, page sizes) live in its adapter: make one per account and share it.

mod ask;
mod eight_by_eight;
mod eight_pbxes;
mod envelope;
mod http;
mod intercom;
mod intercom_refusals;
mod intercom_scroll;
mod intercom_search;
mod pace;
mod page_size;
mod refusal;
mod retry;
mod session;
mod settings;
mod token;
mod webex;
mod webex_link;

pub use eight_by_eight::EightByEight;
pub use intercom::Intercom;
pub use pace::Rate;
pub use settings::{
    BadSettings, Clock, EightByEightSettings, HttpSettings, IntercomSettings, PbxPath, WebexCredentials, WebexSettings,
};
pub use webex::Webex;
