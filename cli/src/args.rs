//! The command line, as data. What a name or a time means is checked here where no configuration is needed for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args as ArgGroup, Parser, Subcommand, ValueEnum};
use proto::catalog;
use proto::dataset::SourceName;
use proto::id::{AccountName, RunId};

use crate::moment::{self, Moment};

/// Carries call records (8x8, Webex Calling) and support data (Intercom) into a warehouse, and proves that nothing was
/// lost on the way.
#[derive(Debug, Parser)]
#[command(name = "backhaul", version, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done and whole; 1 unexpected; 2 usage; 3 configuration; \
                        4 refused by a remote (credentials, grants); 5 finished, but something is dead or missing.")]
pub(crate) struct Args {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, ArgGroup)]
pub(crate) struct Global {
    /// The configuration file
    #[arg(long, global = true, env = "BACKHAUL_CONFIG", default_value = "backhaul.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// How data is written to stdout
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How log lines are written to stderr
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub log_format: Format,
    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log what is done; twice: every page and batch
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person
    Text,
    /// For a program: JSON objects, one per line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything against simulated vendors and compare the result with the ground truth
    Demo(Demo),
    /// Sync: plan, fetch and load in one process, until the run is whole
    Run(Run),
    /// Plan a run and put its units on the queue, for `run --resume` to work
    Plan(Plan),
    /// Show a run as the destination's ledger knows it; without RUN the newest
    Status(Status),
    /// Ask every account, the destination and the queue whether they work
    Check(Check),
    /// Serve the three vendor APIs with made-up data
    Simulate(Simulate),
    /// Look at what was put aside, send it round again, or give it up
    #[command(subcommand)]
    Dead(Dead),
}

/// `backhaul demo`
#[derive(Debug, ArgGroup)]
pub(crate) struct Demo {
    /// Where the database and the queue go
    #[arg(long, default_value = "backhaul-demo")]
    pub dir: PathBuf,
    /// The size and the seed of the made-up data.
    #[command(flatten)]
    pub world: World,
    /// What goes wrong on the way
    #[arg(long, value_enum, default_value_t = Misfortune::None)]
    pub misfortune: Misfortune,
}

/// The size and the seed of the made-up data.
#[derive(Debug, Clone, Copy, ArgGroup)]
pub(crate) struct World {
    /// Days of calls
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=28))]
    pub days: u32,
    /// Calls a day at each of 8x8 and Webex
    #[arg(long, default_value_t = 400, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub calls_per_day: u32,
    /// Intercom contacts; companies and conversations follow from them
    #[arg(long, default_value_t = 3000, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub contacts: u64,
    /// Where all chance comes from
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// What the simulated vendors do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Misfortune {
    /// Nothing
    None,
    /// 429, 5xx, HTML errors, broken and cut-off answers, stalls, expired tokens
    Rough,
}

/// What to sync.
#[derive(Debug, Clone, Default, ArgGroup)]
pub(crate) struct Selection {
    /// Only accounts of this source; may be given several times
    #[arg(long, value_name = "S", value_parser = PossibleValuesParser::new(SourceName::ALL.map(SourceName::as_str)))]
    pub source: Vec<String>,
    /// Only this account; may be given several times
    #[arg(long, value_name = "A", value_parser = |text: &str| AccountName::parse(text))]
    pub account: Vec<AccountName>,
    /// Only this dataset; may be given several times
    #[arg(long, value_name = "D", value_parser = PossibleValuesParser::new(catalog::ALL.map(|dataset| dataset.name)))]
    pub dataset: Vec<String>,
    /// The newest stretch of time, such as 90m, 36h, 3d or 2w, instead of what is new since the last run
    #[arg(long, value_name = "TIME", value_parser = moment::stretch, conflicts_with_all = ["from", "to"])]
    pub last: Option<Duration>,
    /// From this time on: a date (midnight in the account's zone, which is UTC unless configured) or RFC 3339
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    pub from: Option<Moment>,
    /// Before this time; now, unless given
    #[arg(long, value_name = "T", value_parser = Moment::parse, requires = "from")]
    pub to: Option<Moment>,
}

/// `backhaul run`
#[derive(Debug, ArgGroup)]
pub(crate) struct Run {
    /// What to sync.
    #[command(flatten)]
    pub selection: Selection,
    /// Go on with this run: work what is still missing of it
    #[arg(long, value_name = "RUN", value_parser = |text: &str| RunId::parse(text),
          conflicts_with_all = ["source", "account", "dataset", "last", "from", "to"])]
    pub resume: Option<RunId>,
}

/// `backhaul plan`
#[derive(Debug, ArgGroup)]
pub(crate) struct Plan {
    /// What to sync.
    #[command(flatten)]
    pub selection: Selection,
    /// Only show the units; write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `backhaul status`
#[derive(Debug, ArgGroup)]
pub(crate) struct Status {
    /// The run; the newest, unless given
    #[arg(value_parser = |text: &str| RunId::parse(text))]
    pub run: Option<RunId>,
}

/// `backhaul check`
#[derive(Debug, ArgGroup)]
pub(crate) struct Check {
    /// Only this account; may be given several times
    #[arg(long, value_name = "A", value_parser = |text: &str| AccountName::parse(text))]
    pub account: Vec<AccountName>,
}

/// `backhaul simulate`
#[derive(Debug, ArgGroup)]
pub(crate) struct Simulate {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8088", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// The size and the seed of the made-up data.
    #[command(flatten)]
    pub world: World,
    /// Wait this long before each page of data
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub latency_ms: u64,
    /// Make all contacts at the start, for benchmarks
    #[arg(long)]
    pub prerender: bool,
    /// Let the time stand still at this instant
    #[arg(long, value_name = "T", value_parser = Moment::parse)]
    pub now: Option<Moment>,
    /// What goes wrong
    #[arg(long, value_enum, default_value_t = Misfortune::None)]
    pub misfortune: Misfortune,
    /// Answer as fast as asked, instead of with each vendor's rate limit
    #[arg(long)]
    pub no_rate_limits: bool,
}

/// `backhaul dead`
#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// Group what was put aside by its cause, with numbers in the cause left out
    Groups(DeadFilter),
    /// List what was put aside, oldest first
    List(DeadFilter),
    /// Show one message: where it came from, what happened to it and, of a single row, the row
    Show {
        /// The message's id, or the beginning of it
        id: String,
    },
    /// Send messages round again; then `run --resume RUN` works them
    Replay(DeadAction),
    /// Give messages up for good, and note who did and why
    Discard {
        /// Which messages.
        #[command(flatten)]
        action: DeadAction,
        /// Why; kept in the ledger
        #[arg(long)]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Write messages to stdout as NDJSON, with their rows
    Export(DeadFilter),
}

/// Which messages.
#[derive(Debug, Clone, Default, ArgGroup)]
pub(crate) struct DeadFilter {
    /// Only where these hold: source=, account=, dataset=, fault=, since=, run=, id=; several with commas or repeated
    #[arg(long = "where", value_name = "K=V", value_delimiter = ',')]
    pub filters: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// Which messages to act on.
#[derive(Debug, Clone, Default, ArgGroup)]
pub(crate) struct DeadAction {
    /// Which messages.
    #[command(flatten)]
    pub filter: DeadFilter,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn refused(line: &str) -> String {
        let error = Args::try_parse_from(line.split_whitespace()).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn the_command_line_is_well_formed_and_every_option_says_what_it_is() {
        fn look(command: &clap::Command, path: &str) {
            for arg in command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
                assert!(arg.get_help().is_some(), "{path}: {} has no help", arg.get_id());
            }
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                assert!(below.get_about().is_some(), "{path} {} has no help", below.get_name());
                look(below, &format!("{path} {}", below.get_name()));
            }
        }
        Args::command().debug_assert();
        look(&Args::command(), "backhaul");
    }

    #[test]
    fn an_unknown_dataset_or_source_is_answered_with_the_list() {
        let text = refused("backhaul run --dataset contcats");
        assert!(text.contains("8x8CallDetailRecords") && text.contains("similar value exists: 'contacts'"), "{text}");
        assert!(refused("backhaul run --source zoom").contains("8x8, webex, intercom"));
        assert!(refused("backhaul run --account a.b").contains("is not an account name"));
    }

    #[test]
    fn an_impossible_time_is_refused_with_the_form() {
        assert!(refused("backhaul run --last 3").contains("such as 90s or 3d"));
        assert!(refused("backhaul run --last 0d").contains("more than 0"));
        assert!(refused("backhaul run --from monday").contains("2026-11-20"));
        refused("backhaul run --to 2026-01-01");
        refused("backhaul run --last 3d --from 2026-01-01");
    }

    #[test]
    fn a_resumed_run_takes_no_selection() {
        assert!(refused("backhaul run --resume r1 --dataset users").contains("cannot be used with"));
        assert!(refused("backhaul run --resume r1 --last 3d").contains("cannot be used with"));
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in ["backhaul --format json -v run", "backhaul run -v --format json"] {
            let args = Args::try_parse_from(line.split_whitespace()).unwrap();
            assert_eq!((args.global.format, args.global.verbose), (Format::Json, 1));
        }
        refused("backhaul run -q -v");
    }
}
