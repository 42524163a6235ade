//! Splits a run into units: what is due, cut into windows, noted in the ledger, issued to the broker.
//!
//! [`due`] and [`plan`] decide without I/O or clock; [`run`] asks vendors (through a short helper of its own) and the
//! ledger, and is the only one that acts. Guaranteed: planning twice gives the same units under the same ids, and
//! whatever step fails, doing it again neither loses a unit nor issues one under a second message id. Left to others:
//! what a unit's rows are (worker), and whether it is whole (loader).

mod discovery;
pub mod due;
mod error;
pub mod plan;
pub mod run;
pub mod span;

pub use self::discovery::{Discovery, Terms};
pub use self::error::PlannerError;
