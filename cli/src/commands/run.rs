//! `backhaul run`: plan, fetch and load in one process, until the run is whole.

use planner::Discovery;

use crate::args::{Global, Run};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::report::{Report, notes};
use crate::session::{Done, Session};

/// Plans and works on a run, or goes on with one.
pub(crate) async fn run(global: &Global, output: Output, args: &Run) -> Result<Exit, Failure> {
    let config = Config::load(&global.config)?;
    let session =
        Session { config: &config, output, logged: global.verbose > 0, world: None, discovery: Discovery::default() };
    let done = match &args.resume {
        Some(run) => session.resume(run).await?,
        None => session.fresh(&args.selection).await?,
    };
    let report = Report::new(&done.figures, done.is_complete(), done.seconds, None);
    output.data(&report, || report.text());
    tell(output, &done);
    Ok(done.exit())
}

/// Says what a person must know and no table shows.
pub(crate) fn tell(output: Output, done: &Done) {
    for note in notes(&done.figures) {
        output.say(&note);
    }
    done.complain();
    if done.ending.interrupted && !done.figures.whole {
        output.say(&format!("stopped; `backhaul run --resume {}` goes on", done.figures.run));
    }
}
