//! Fetch workers: receive a slice of a unit, read it page by page, cut batches, publish, settle.

mod convert;
pub mod cut;
pub mod encode;
pub mod fetch;
pub mod run;
mod slice;
pub mod source;
