//! What the suite needs to run the parts together and to break them: flaky brokers and destinations that fail before or
//! after the work, a vendor that follows a script, and the means to start and kill whole processes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod flaky;
pub mod program;
pub mod proof;
pub mod sandbox;
pub mod vendor;
