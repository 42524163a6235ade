//! What a run was asked for: which accounts and datasets of the configuration, over which time. Pure.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use clap::Parser;
use planner::span::Span;
use proto::instant::{self, Digits};

use crate::account::Account;
use crate::args::{Args, Command, Selection};
use crate::config::Config;
use crate::exit::Failure;
use crate::moment::{self, Moment};

/// Accounts that are read over the same span, each with the datasets that were asked for.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The span.
    pub span: Span,
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// The parts of the configuration that were selected: one, or one per time zone where a bare date was given.
///
/// # Errors
/// When an account does not exist, nothing is left, or the time cannot be meant.
pub(crate) fn select(config: &Config, selection: &Selection, now: DateTime<Utc>) -> Result<Vec<Part>, Failure> {
    for wanted in &selection.account {
        if !config.accounts.iter().any(|account| account.name == *wanted) {
            let names: Vec<_> = config.accounts.iter().map(|account| account.name.as_str()).collect();
            return Err(Failure::usage(format!(
                "--account: `{wanted}` is no account of {}: use {}",
                config.name,
                names.join(", ")
            )));
        }
    }
    let mut parts: Vec<Part> = Vec::new();
    for account in &config.accounts {
        let Some(account) = narrowed(account, selection) else { continue };
        let span = span(selection, &account, now);
        span.check(now).map_err(|error| Failure::usage(error.to_string()))?;
        match parts.iter_mut().find(|part| part.span == span) {
            Some(part) => part.accounts.push(account),
            None => parts.push(Part { span, accounts: vec![account] }),
        }
    }
    if parts.is_empty() {
        let what = "no account has what --source, --account and --dataset ask for";
        return Err(Failure::usage(format!("{what}: leave one of them out, or add an account to {}", config.name)));
    }
    Ok(parts)
}

fn narrowed(account: &Account, selection: &Selection) -> Option<Account> {
    let Selection { source, account: accounts, dataset, .. } = selection;
    let listed = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
    if !listed(source, account.source().as_str()) || !(accounts.is_empty() || accounts.contains(&account.name)) {
        return None;
    }
    let mut account = account.clone();
    account.datasets.retain(|one| listed(dataset, one.name));
    Some(account).filter(|account| !account.datasets.is_empty())
}

fn span(selection: &Selection, account: &Account, now: DateTime<Utc>) -> Span {
    match (selection.last, selection.from) {
        (Some(last), _) => Span::Last(last),
        (None, Some(from)) => {
            let to = selection.to.map_or(now, |to| to.at(account.zone));
            Span::Between { from: from.at(account.zone), to }
        }
        (None, None) => Span::Due,
    }
}

/// What the ledger keeps of a run's selection: the command line that asks for it, and when it was asked. Whoever
/// resumes a run that broke off while it was planned plans the same again from this.
#[must_use]
pub(crate) fn asked(selection: &Selection, now: DateTime<Utc>) -> String {
    let mut line = "run".to_owned();
    let mut add = |option: &str, value: &str| {
        let _ = write!(line, " --{option} {value}");
    };
    for source in &selection.source {
        add("source", source);
    }
    for account in &selection.account {
        add("account", account.as_str());
    }
    for dataset in &selection.dataset {
        add("dataset", dataset);
    }
    if let Some(last) = selection.last {
        add("last", &moment::written(last));
    }
    for (option, at) in [("from", selection.from), ("to", selection.to)] {
        match at {
            Some(Moment::Date(date)) => add(option, &date.to_string()),
            Some(Moment::Instant(at)) => add(option, &instant::text(at, Digits::Micros)),
            None => {}
        }
    }
    format!("{line} at {}", instant::text(now, Digits::Micros))
}

/// Reads what [`asked`] wrote, with whatever was added to it after a semicolon.
#[must_use]
pub(crate) fn asked_again(note: &str) -> Option<(Selection, DateTime<Utc>)> {
    let (line, at) = note.split(';').next()?.rsplit_once(" at ")?;
    let args = Args::try_parse_from(["backhaul"].into_iter().chain(line.split_whitespace())).ok()?;
    let Command::Run(run) = args.command else { return None };
    Some((run.selection, instant::parse(at.trim())?))
}

/// The accounts that were left out when a run was planned, from what the ledger keeps of its selection.
#[must_use]
pub(crate) fn left_out(note: &str) -> Option<&str> {
    note.split_once("; left out: ").map(|(_, accounts)| accounts)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ACCOUNTS: &str = r#"
        [accounts.calls]
        source = "8x8"
        zone = "Europe/Paris"
        api_key = { env = "A" }
        username = "u"
        password = { env = "P" }
        [accounts.desk]
        source = "intercom"
        token = { env = "T" }
    "#;

    fn config() -> Config {
        Config::parse("backhaul.toml", ACCOUNTS, Path::new("")).unwrap()
    }

    fn selection(line: &str) -> Selection {
        let line = format!("backhaul run {line}");
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Run(run) = args.command else { panic!("run") };
        run.selection
    }

    fn now() -> DateTime<Utc> {
        "2026-11-20T08:44:28Z".parse().unwrap()
    }

    fn refused(line: &str) -> String {
        let failure = select(&config(), &selection(line), now()).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        failure.message
    }

    #[test]
    fn everything_is_one_part_and_a_date_is_one_per_zone() {
        assert_eq!(select(&config(), &selection(""), now()).unwrap().len(), 1);
        let parts = select(&config(), &selection("--from 2026-11-01 --to 2026-11-02"), now()).unwrap();
        let froms: Vec<_> = parts
            .iter()
            .map(|part| match part.span {
                Span::Between { from, .. } => from.to_rfc3339(),
                _ => String::new(),
            })
            .collect();
        assert_eq!(froms, ["2026-10-31T23:00:00+00:00", "2026-11-01T00:00:00+00:00"]);
    }

    #[test]
    fn a_selection_narrows_accounts_and_datasets() {
        let parts = select(&config(), &selection("--dataset tags --dataset users"), now()).unwrap();
        let names: Vec<_> = parts[0].accounts[0].datasets.iter().map(|dataset| dataset.name).collect();
        assert_eq!((parts[0].accounts.len(), names), (1, vec!["users", "tags"]));
    }

    #[test]
    fn what_does_not_exist_or_cannot_be_meant_is_a_usage_error_with_the_fix() {
        assert!(refused("--account nobody").contains("`nobody` is no account of backhaul.toml: use calls, desk"));
        assert!(refused("--account desk --source webex").contains("no account has what"));
        assert!(refused("--from 2030-01-01").contains("in the future"));
        assert!(refused("--from 2026-11-02 --to 2026-11-01").contains("not before"));
    }

    #[test]
    fn what_was_asked_reads_again() {
        for line in [
            "",
            "--last 3d --dataset users",
            "--source 8x8 --account calls --from 2026-11-01 --to 2026-11-02T00:00:00Z",
        ] {
            let note = format!("{}; left out: desk (refused)", asked(&selection(line), now()));
            assert_eq!(left_out(&note), Some("desk (refused)"));
            let (again, at) = asked_again(&note).unwrap();
            assert_eq!(at, now());
            assert_eq!(asked(&again, at), asked(&selection(line), now()));
        }
        assert!(asked_again("something else").is_none());
    }
}
