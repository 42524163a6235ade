//! The simulator over HTTP: walks that end equal to the truth, faithful refusals, and misfortune on request.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod eight_by_eight;
mod intercom;
mod misfortune;
mod survival;
mod walks;
mod webex;
