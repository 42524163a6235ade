//! Marked points: where a test kills the process to see what a crash there costs.
//!
//! Without the feature `marks` (the default, and every release build) [`reached`] is empty and compiles to nothing.
//! With it, `BACKHAUL_KILL_AT=NAME` or `NAME:N` kills the process the N-th time it comes by the point of that name, as
//! `kill -9` would: nothing is flushed, closed or given back.

/// Every marked point, in the order in which a unit passes them.
pub const POINTS: [&str; 17] = [
    "planner.run-noted",
    "planner.units-noted",
    "planner.unit-published",
    "planner.issued-noted",
    "worker.received",
    "worker.page-fetched",
    "worker.batch-published",
    "worker.continuation-published",
    "worker.last-published",
    "worker.settled",
    "loader.gathered",
    "loader.row-put-aside",
    "sink.rows-written",
    "sink.ledger-written",
    "sink.committed",
    "loader.committed",
    "loader.settled",
];

/// The process comes by the point `name`, which is one of [`POINTS`].
#[cfg(not(feature = "marks"))]
#[inline(always)]
pub fn reached(_name: &'static str) {}

/// The process comes by the point `name`, which is one of [`POINTS`].
#[cfg(feature = "marks")]
pub fn reached(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static TIMES: AtomicU32 = AtomicU32::new(0);
    debug_assert!(POINTS.contains(&name), "{name} is not in the list of points");
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("BACKHAUL_KILL_AT").ok()?;
        let (point, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((point.to_owned(), times.parse().unwrap_or(1)))
    });
    if let Some((point, times)) = wanted
        && point == name
        && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *times
    {
        // Nothing after this line runs, no destructor either.
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::SIGKILL);
    }
}
