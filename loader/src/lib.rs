//! The loader: gathers batches into loads, commits rows and ledger together, settles.

pub mod load;
pub mod run;
pub mod sink;
