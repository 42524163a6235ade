//! One module per command: read what is needed, do it, say it, and answer with an exit code.

pub(crate) mod check;
pub(crate) mod dead;
mod dead_action;
mod dead_view;
pub(crate) mod demo;
mod demo_world;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod status;
