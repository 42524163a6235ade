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
