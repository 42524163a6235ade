//! Shows how far a run is: bars on a terminal, else a line per dataset now and then, nothing with `-q`.
//!
//! A display only: it reads counters, and whether a run is whole is never decided here.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use proto::dataset::Dataset;
use proto::progress::Progress;
use tokio::task::JoinSet;

use crate::output::Output;
use crate::table::grouped;

/// How often bars move.
const BARS: Duration = Duration::from_millis(100);
/// How often lines come.
const LINES: Duration = Duration::from_secs(2);

/// Shows counters as long as it lives.
pub(crate) struct Display {
    _painter: JoinSet<()>,
    bars: Option<MultiProgress>,
}

impl Display {
    /// Shows the counters of these datasets from now on. `logged` is whether log lines go to the terminal too: then
    /// there are no bars that they would tear.
    #[must_use]
    pub(crate) fn start(
        output: Output,
        logged: bool,
        datasets: &[&'static Dataset],
        progress: &Arc<Progress>,
    ) -> Display {
        let mut painter = JoinSet::new();
        let (datasets, progress) = (datasets.to_vec(), Arc::clone(progress));
        if output.quiet {
            return Display { _painter: painter, bars: None };
        }
        if std::io::stderr().is_terminal() && !logged {
            let bars = MultiProgress::new();
            painter.spawn(paint(bars.clone(), datasets, progress));
            return Display { _painter: painter, bars: Some(bars) };
        }
        painter.spawn(write(output, datasets, progress));
        Display { _painter: painter, bars: None }
    }

    /// Takes the bars away.
    pub(crate) fn end(self) {
        if let Some(bars) = self.bars {
            let _ = bars.clear();
        }
    }
}

/// Pages, rows fetched and rows committed.
type Counts = [u64; 3];

fn counts(progress: &Progress, dataset: &Dataset) -> Counts {
    let counters = progress.of(dataset);
    [&counters.pages, &counters.fetched, &counters.committed].map(|counter| counter.load(Ordering::Relaxed))
}

fn line(name: &str, [pages, fetched, committed]: Counts) -> String {
    format!("{name}: {} pages, {} rows fetched, {} loaded", grouped(pages), grouped(fetched), grouped(committed))
}

async fn paint(bars: MultiProgress, datasets: Vec<&'static Dataset>, progress: Arc<Progress>) {
    let template = "{prefix:22} [{bar:30}] {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = |dataset: &Dataset| {
        let bar = bars.add(ProgressBar::new(0)).with_style(style.clone().progress_chars("=> "));
        bar.set_prefix(dataset.name);
        bar
    };
    let all: Vec<_> = datasets.iter().map(|&dataset| (dataset, bar(dataset))).collect();
    let mut ticks = tokio::time::interval(BARS);
    loop {
        ticks.tick().await;
        for (dataset, bar) in &all {
            let [pages, fetched, committed] = counts(&progress, dataset);
            bar.set_length(fetched);
            bar.set_position(committed.min(fetched));
            bar.set_message(format!("{} of {} rows, {} pages", grouped(committed), grouped(fetched), grouped(pages)));
        }
    }
}

async fn write(output: Output, datasets: Vec<&'static Dataset>, progress: Arc<Progress>) {
    let mut shown: Vec<Counts> = vec![[0; 3]; datasets.len()];
    let mut ticks = tokio::time::interval(LINES);
    loop {
        ticks.tick().await;
        for (dataset, shown) in datasets.iter().zip(&mut shown) {
            let now = counts(&progress, dataset);
            if now != *shown {
                output.say(&line(dataset.name, now));
                *shown = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_pages_and_rows() {
        let progress = Progress::default();
        let dataset = proto::catalog::ALL[0];
        progress.page(dataset, 1500);
        progress.committed(dataset, 500);
        assert_eq!(
            line(dataset.name, counts(&progress, dataset)),
            "8x8CallDetailRecords: 1 pages, 1,500 rows fetched, 500 loaded"
        );
    }
}
