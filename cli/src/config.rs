//! The configuration: a TOML file, read into settings that can be used as they are.
//!
//! Every problem is reported at once with its path, unknown fields among them. Paths in the file are relative to the
//! file's own folder. Secrets are named here and read later, by the parts that need them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proto::broker::embedded::EmbeddedSettings;
use proto::catalog;
use proto::fault::Patience;
use toml::Table;
use worker::source::HttpSettings;

use crate::account::{self, Account};
use crate::exit::Failure;
use crate::moment;
use crate::reader::{Problems, Section};

/// Everything that a command needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// What messages call it: the file's path.
    pub name: String,
    /// The queue.
    pub queue: Queue,
    /// The destination.
    pub destination: Destination,
    /// How workers work; `in_flight` is the account's.
    pub worker: worker::run::Settings,
    /// How requests are sent.
    pub http: HttpSettings,
    /// How loaders work.
    pub loader: loader::run::Settings,
    /// The accounts, in the order of their names.
    pub accounts: Vec<Account>,
}

/// The queue: a file of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queue {
    /// The file.
    pub path: PathBuf,
    /// How it works.
    pub settings: EmbeddedSettings,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// An SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Tables that are not called as the catalog calls them, by dataset.
        tables: BTreeMap<String, String>,
    },
}

impl Destination {
    /// Where it is, for a person.
    #[must_use]
    pub(crate) fn place(&self) -> String {
        match self {
            Destination::Sqlite { path, .. } => path.display().to_string(),
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// With every problem of it.
    pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            let shown = path.display();
            Failure::configuration(match error.kind() {
                std::io::ErrorKind::NotFound => {
                    format!(
                        "{shown} does not exist: copy backhaul.example.toml to it, or name another file with --config"
                    )
                }
                _ => format!("{shown} does not read ({error}): make it a text file that you may read"),
            })
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Config::parse(&path.display().to_string(), &text, folder)
    }

    /// Reads the text of a file called `name`, whose relative paths begin at `folder`.
    ///
    /// # Errors
    /// With every problem of it.
    pub(crate) fn parse(name: &str, text: &str, folder: &Path) -> Result<Config, Failure> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| not_toml(name, text, &error))?;
        let problems = Problems::default();
        let config = read(name, Section::new("", table, &problems), folder, &problems);
        match problems.into_vec() {
            none if none.is_empty() => Ok(config),
            one if one.len() == 1 => Err(Failure::configuration(format!("{name}: {}", one[0]))),
            many => {
                let lines = many.iter().map(|problem| format!("\n  {problem}")).collect::<String>();
                Err(Failure::configuration(format!("{name} has {} problems:{lines}", many.len())))
            }
        }
    }
}

fn not_toml(name: &str, text: &str, error: &toml::de::Error) -> Failure {
    let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let what = error.message().replace('\n', ", ");
    Failure::configuration(format!("{name}: line {line} is not TOML ({what}): correct it there"))
}

fn read(name: &str, mut file: Section<'_>, folder: &Path, problems: &Problems) -> Config {
    let queue = queue(file.section("queue"), folder);
    let destination = destination(file.section("destination"), folder);
    let worker = worker(file.section("worker"));
    let http = http(file.section("http"));
    let loader = loader(file.section("loader"));
    let sections = file.sections("accounts");
    if sections.is_empty() && !file.complained("accounts") {
        file.wrong("accounts", "there is none: add one such as [accounts.main] with a `source`");
    }
    let accounts =
        sections.into_iter().filter_map(|(name, section)| account::read(&name, section, folder, problems)).collect();
    file.finish();
    Config { name: name.to_owned(), queue, destination, worker, http, loader, accounts }
}

fn queue(mut section: Section<'_>, folder: &Path) -> Queue {
    let path = folder.join(section.text("path").unwrap_or_else(|| "backhaul-queue.db".to_owned()));
    let mut settings = EmbeddedSettings::default();
    set(&mut settings.max_bytes, section.size("max_bytes", 1 << 20));
    set(&mut settings.lease, section.length("lease", moment::stretch));
    section.finish();
    Queue { path, settings }
}

fn destination(mut section: Section<'_>, folder: &Path) -> Destination {
    if let Some(kind) = section.text("kind").filter(|kind| kind != "sqlite") {
        section.wrong("kind", format!("`{kind}` is no kind of destination: use \"sqlite\""));
    }
    let path = folder.join(section.text("path").unwrap_or_else(|| "backhaul.db".to_owned()));
    let tables = section.texts("tables");
    for (dataset, table) in &tables {
        let path = section.path(&format!("tables.{dataset}"));
        if catalog::find(dataset).is_none() {
            let names = catalog::ALL.map(|dataset| dataset.name).join(", ");
            section.report(&path, format!("`{dataset}` is no dataset: use {names}"));
        }
        if !is_table_name(table) {
            let rule = "1 to 100 of the characters a-z, A-Z, 0-9 and _, and not the name of a table of the ledger";
            section.report(&path, format!("`{table}` is no table name: use {rule}"));
        }
    }
    let mut taken = BTreeMap::new();
    for dataset in catalog::ALL {
        let table = tables.get(dataset.name).map_or(dataset.table, String::as_str).to_lowercase();
        if let Some(other) = taken.insert(table, dataset.name) {
            let what = format!("`{other}` and `{}` go to the same table: give one of them another", dataset.name);
            section.wrong("tables", what);
        }
    }
    section.finish();
    Destination::Sqlite { path, tables }
}

/// Names that need no quoting anywhere and collide with nothing of ours.
fn is_table_name(name: &str) -> bool {
    let plain = (1..=100).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let lower = name.to_lowercase();
    plain && !["_backhaul", "backhaul_", "sqlite_", "cdr_sync_"].iter().any(|ours| lower.starts_with(ours))
}

fn worker(mut section: Section<'_>) -> worker::run::Settings {
    let mut settings = worker::run::Settings::default();
    let mut slice = section.section("slice");
    set(&mut settings.slice.pages, slice.count("pages", 1, 1_000_000).and_then(|n| u32::try_from(n).ok()));
    set(&mut settings.slice.bytes, slice.size("bytes", 1));
    set(&mut settings.slice.time, slice.length("time", moment::stretch));
    slice.finish();
    let mut batch = section.section("batch");
    set(&mut settings.batch.rows, batch.count("rows", 1, 1_000_000).and_then(|n| u32::try_from(n).ok()));
    set(&mut settings.batch.bytes, batch.size("bytes", 1));
    set(&mut settings.batch.compressed, batch.size("compressed", 1).and_then(|n| usize::try_from(n).ok()));
    batch.finish();
    set(&mut settings.patience, patience(&mut section));
    section.finish();
    settings
}

fn http(mut section: Section<'_>) -> HttpSettings {
    let mut settings = HttpSettings::default();
    set(&mut settings.connect_timeout, section.length("connect_timeout", moment::stretch));
    set(&mut settings.timeout, section.length("timeout", moment::stretch));
    set(&mut settings.body_limit, section.size("body_limit", 1 << 20).and_then(|n| usize::try_from(n).ok()));
    set(&mut settings.tries, section.count("tries", 1, 20).and_then(|n| u32::try_from(n).ok()));
    set(&mut settings.patience, section.length("patience", moment::length));
    section.finish();
    settings
}

fn loader(mut section: Section<'_>) -> loader::run::Settings {
    let mut settings = loader::run::Settings::default();
    set(&mut settings.rows, section.count("rows", 1, 100_000_000));
    set(&mut settings.bytes, section.size("bytes", 1));
    set(&mut settings.linger, section.length("linger", moment::length));
    set(&mut settings.patience, patience(&mut section));
    section.finish();
    settings
}

fn patience(section: &mut Section<'_>) -> Option<Patience> {
    let mut section = section.section("patience");
    let mut patience = Patience::default();
    if let Some(rungs) = section.list("ladder") {
        let read: Vec<_> = rungs.iter().map(|rung| moment::length(rung)).collect();
        for error in read.iter().filter_map(|rung| rung.as_ref().err()) {
            section.wrong("ladder", error);
        }
        patience.ladder = read.into_iter().filter_map(Result::ok).collect();
    }
    set(&mut patience.give_up, section.length("give_up", moment::stretch));
    section.finish();
    Some(patience).filter(|patience| *patience != Patience::default())
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Vendor;
    use crate::exit::Exit;

    const DESK: &str = "[accounts.desk]\nsource = \"intercom\"\ntoken = { env = \"T\" }\n";
    const CALLS: &str =
        "[accounts.calls]\nsource = \"8x8\"\napi_key = { env = \"A\" }\nusername = \"u\"\npassword = { env = \"P\" }\n";
    const MEETINGS: &str = "[accounts.meetings]\nsource = \"webex\"\nclient_id = \"c\"\nclient_secret = { env = \"S\" }\nrefresh_token = { env = \"R\" }\n";

    fn parse(text: &str) -> Result<Config, Failure> {
        Config::parse("backhaul.toml", text, Path::new("/etc/backhaul"))
    }

    fn refused(text: &str) -> String {
        let failure = parse(text).expect_err(text);
        assert_eq!(failure.exit, Exit::Configuration);
        failure.message
    }

    /// The defaults that the example claims are the program's.
    #[test]
    fn the_example_file_is_valid_and_says_the_defaults() {
        let example = parse(include_str!("../../backhaul.example.toml")).unwrap();
        assert_eq!(example.queue.settings, EmbeddedSettings::default());
        assert_eq!(example.worker, worker::run::Settings::default());
        assert_eq!(example.loader, loader::run::Settings::default());
        assert_eq!(format!("{:?}", example.http), format!("{:?}", HttpSettings::default()));
        let bare = parse(&format!("{DESK}{CALLS}{MEETINGS}")).unwrap();
        for (shown, bare) in example.accounts.iter().zip(&bare.accounts) {
            assert_eq!((&shown.name, &shown.datasets, shown.in_flight), (&bare.name, &bare.datasets, bare.in_flight));
            for dataset in &shown.datasets {
                assert_eq!(shown.timing.apply(dataset.timing), bare.timing.apply(dataset.timing));
            }
        }
    }

    /// Whoever adds a field to the reader must add it to the example.
    #[test]
    fn the_example_file_shows_every_field() {
        let example = include_str!("../../backhaul.example.toml");
        for section in
            ["queue", "destination", "worker", "loader", "http", "accounts.calls", "accounts.meetings", "accounts.desk"]
        {
            let marked = example.replacen(&format!("[{section}]"), &format!("[{section}]\nno_such_field = 1"), 1);
            let message = refused(&marked);
            let (_, known) = message.split_once("use one of ").unwrap();
            for field in known.trim_end_matches(", or remove it").split(", ") {
                let shown =
                    example.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{field} = ")));
                assert!(shown, "{section}.{field} is not in backhaul.example.toml");
            }
        }
    }

    #[test]
    fn what_is_left_out_has_its_default_and_paths_begin_at_the_file() {
        let config = parse(DESK).unwrap();
        assert_eq!(config.queue.path, Path::new("/etc/backhaul/backhaul-queue.db"));
        assert_eq!(config.destination.place(), "/etc/backhaul/backhaul.db");
        let account = &config.accounts[0];
        assert_eq!((account.datasets.len(), account.in_flight, account.page_size), (8, 16, None));
        assert_eq!(parse(MEETINGS).unwrap().accounts[0].in_flight, 1);
        let file = DESK.replace("env = \"T\"", "file = \"token\"");
        let Vendor::Intercom { token, .. } = &parse(&file).unwrap().accounts[0].vendor else { panic!("intercom") };
        assert_eq!(token.to_string(), "the file /etc/backhaul/token");
    }

    #[test]
    fn each_problem_is_named_by_its_path_with_the_fix() {
        for (text, words) in [
            (String::new(), "accounts: there is none: add one"),
            ("accounts = 3".into(), "accounts: is a whole number"),
            ("[[accounts]]\nname = \"x\"".into(), "accounts: is a list: write tables with names"),
            (format!("{DESK}[queeu]"), "queeu: there is no such field here: use one of accounts, destination"),
            (format!("{DESK}[queue]\nmax_bytes = \"1KiB\""), "queue.max_bytes: 1024 bytes are too few"),
            (format!("{DESK}[queue]\nlease = 5"), "queue.lease: is a whole number: write a length of time"),
            (format!("{DESK}[destination]\nkind = \"oracle\""), "destination.kind: `oracle` is no kind of destination"),
            (
                format!("{DESK}[destination.tables]\nfaxes = \"f\""),
                "destination.tables.faxes: `faxes` is no dataset: use 8x8",
            ),
            (
                format!("{DESK}[destination.tables]\nusers = \"a b\""),
                "destination.tables.users: `a b` is no table name",
            ),
            (
                format!("{DESK}[destination.tables]\nusers = \"Contacts\""),
                "destination.tables: `users` and `contacts` go to the same table",
            ),
            (
                format!("{DESK}[destination.tables]\nusers = \"backhaul_runs\""),
                "destination.tables.users: `backhaul_runs` is no table name",
            ),
            (format!("{DESK}[worker]\nbatch = {{ rows = 0 }}"), "worker.batch.rows: 0 is out of bounds"),
            (format!("{DESK}[worker.patience]\nladder = [\"soon\"]"), "worker.patience.ladder: `soon` is no length"),
            (format!("{DESK}[loader]\nlinger = true"), "loader.linger: is true or false"),
            (format!("{DESK}[http]\ntries = 0"), "http.tries: 0 is out of bounds"),
            (format!("{DESK}zone = \"Europe/Pari\""), "accounts.desk.zone: `Europe/Pari` is no IANA time zone"),
            (
                format!("{DESK}page_size = 151"),
                "accounts.desk.page_size: 151 is out of bounds: write a number from 1 to 150",
            ),
            (
                format!("{DESK}datasets = [\"calls\"]"),
                "accounts.desk.datasets: `calls` is no dataset of intercom: use users",
            ),
            (format!("{DESK}partitions = [\"x\"]"), "accounts.desk.partitions: there is no such field here"),
            (
                format!("{DESK}base_url = \"api.intercom.io\""),
                "accounts.desk.base_url: `api.intercom.io` is no address",
            ),
            (format!("{DESK}pace = {{ requests = 1 }}"), "accounts.desk.pace.per: is missing"),
            (format!("{CALLS}partitions = []"), "accounts.calls.partitions: is empty: name at least one"),
            (format!("{CALLS}pbx_path = \"x\""), "accounts.calls.pbx_path: `x` is no such path"),
            (
                DESK.replace("intercom", "zoom"),
                "accounts.desk.source: `zoom` is no source: use one of 8x8, webex, intercom",
            ),
            (DESK.replace("source = \"intercom\"", ""), "accounts.desk.source: is missing"),
            (DESK.replace("accounts.desk", "accounts.\"a b\""), "accounts.a b: `a b` is not an account name"),
            (DESK.replace("token", "tokn"), "accounts.desk.token: is missing: write { env ="),
            (
                DESK.replace("{ env = \"T\" }", "\"dG9rZW4\""),
                "accounts.desk.token: a secret does not belong into this file",
            ),
            (DESK.replace("env =", "vault ="), "accounts.desk.token: is no place of a secret: write { env ="),
            (DESK.replace("env = \"T\"", "keyring = \"x\""), "accounts.desk.token: is no place of a secret"),
        ] {
            let message = refused(&text);
            assert!(message.contains(words), "{message}\nshould contain: {words}");
            assert!(!message.contains("dG9rZW4"), "a secret is printed: {message}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let text = "[queue]\nlease = \"x\"\n[loader]\nrosw = 1\n[accounts.a]\nsource = \"intercom\"\n[accounts.b]\nsource = \"webex\"\nzone = \"x\"";
        insta::assert_snapshot!(refused(text));
    }

    #[test]
    fn a_file_that_is_not_toml_or_not_there_says_where() {
        assert!(refused("[queue]\npath = ").starts_with("backhaul.toml: line 2 is not TOML ("));
        let failure = Config::load(Path::new("no/such/backhaul.toml")).unwrap_err();
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(failure.message.contains("copy backhaul.example.toml"), "{}", failure.message);
    }
}
