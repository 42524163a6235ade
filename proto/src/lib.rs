//! The words Backhaul's programs share and the wire between them.
//!
//! Data moves one way: a planner publishes [`unit::Slice`]s, a worker turns vendor answers ([`source::Page`]) into
//! batches ([`batch::BatchMeta`] and NDJSON lines), a loader commits them and writes the [`ledger`]. Everything that
//! crosses a process is a [`message::Message`] on a [`broker::Queue`], carries a format version, and may arrive twice.
//!
//! This crate holds no business of one program: how units are planned, pages fetched or rows committed is theirs.

pub mod batch;
pub mod broker;
pub mod catalog;
pub mod dataset;
pub mod fault;
pub mod id;
pub mod instant;
pub mod ledger;
pub mod mark;
pub mod message;
pub mod progress;
pub mod row;
pub mod secret;
pub mod source;
pub mod unit;
