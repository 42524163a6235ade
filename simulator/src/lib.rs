//! The three vendor APIs as one server: 8x8 Analytics for Work, the Webex Calling CDR feed and the Intercom REST API.
//!
//! It is deterministic: the same [`Settings`] give the same bytes. It owns the ground truth: [`Running::truth`] and
//! `GET /truth` say what a perfect sync must hold. It misbehaves on request: `POST /misfortune`, or
//! [`Simulator::add`] in process.
//!
//! Records are a pure function of (seed, dataset, index) and are made while they are served, so a workspace of
//! millions of contacts costs little memory; what a script changes lives in a small overlay.
//!
//! | vendor | base address |
//! |---|---|
//! | 8x8 | `http://ADDR/8x8/analytics/work` |
//! | Webex | `http://ADDR/webex` |
//! | Intercom | `http://ADDR/intercom` |

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

mod arena;
mod chance;
mod companies;
mod contacts;
mod conversations;
pub mod credentials;
mod dataset;
mod desk;
mod eight_answers;
mod eight_by_eight;
mod eight_calls;
mod gate;
mod intercom;
mod intercom_answers;
mod intercom_children;
mod intercom_listing;
mod intercom_query;
mod intercom_scroll;
mod json;
mod misfortune;
mod overlay;
mod rates;
mod requests;
mod rough;
mod server;
mod settings;
mod simulator;
mod timeline;
mod tokens;
pub mod truth;
mod wall;
mod webex;
mod webex_answers;
mod webex_calls;
mod words;
mod world;

pub use dataset::Dataset;
pub use misfortune::{Change, Fault, FaultBody, Rule, RuleReport, Script};
pub use requests::Counts;
pub use rough::rough;
pub use server::{Running, start};
pub use settings::{Clock, Quirks, Rates, Settings, TimeField, WebexRate};
pub use simulator::{Simulator, UnknownRecord};
pub use truth::Truth;
