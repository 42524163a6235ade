//! The benchmark behind `scripts/bench`: what `backhaul run` costs, and what the same rows cost at the very least.
//!
//! The simulator, each run and each floor are processes of their own, so that every figure is of one process alone. The
//! floor reads the same pages from a file, parses them, upserts 20 columns (the record as it came is one of them) into
//! an SQLite table, and does nothing else: a machine that is slow or busy slows both, and their ratio stays. A run or a
//! floor that does not leave every contact in its table is an error, not a fast result. No figure is asserted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command: stdout is data, stderr is talk")]

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use simulator::credentials::INTERCOM_TOKEN;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Contacts a page: the most that Intercom gives.
const PAGE: u32 = 150;
/// A floor of this many rows tells what a row costs; more only take time and disk.
const FLOOR_ROWS: u64 = 200_000;
/// Rows a transaction of the floor: as many as a load has.
const LOAD: usize = 20_000;
/// The simulator's time stands still here, so that every run meets the same bytes.
const NOW: &str = "2026-01-01T00:00:00Z";
const VERSION: &str = "2.16";
const USAGE: &str = "usage: scripts/bench [--contacts 200000] [--runs 3]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["measure", program, args @ ..] => measure(program, args),
        ["floor", pages, database] => floor(Path::new(pages), Path::new(database)),
        words => Plan::read(words).and_then(|plan| plan.bench()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What to measure.
struct Plan {
    contacts: u64,
    runs: usize,
}

impl Plan {
    fn read(mut words: &[&str]) -> Outcome<Plan> {
        let mut plan = Plan { contacts: 200_000, runs: 3 };
        while let [name, value, rest @ ..] = words {
            match *name {
                "--contacts" => plan.contacts = value.parse().map_err(|_| USAGE)?,
                "--runs" => plan.runs = value.parse().map_err(|_| USAGE)?,
                _ => return Err(USAGE.into()),
            }
            words = rest;
        }
        if !words.is_empty() || plan.contacts == 0 || plan.runs == 0 {
            return Err(USAGE.into());
        }
        Ok(plan)
    }

    fn bench(&self) -> Outcome<()> {
        let this = std::env::current_exe()?;
        let release = this.parent().ok_or("this program has no folder")?;
        let backhaul = release.join("backhaul");
        // Beside the programs: on a real disk, where /tmp may be memory.
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(release)?;
        let vendor = Vendor::start(&backhaul, self.contacts)?;
        let pages = dir.path().join("pages.ndjson");
        let kept = vendor.keep_pages(&pages, self.contacts.min(FLOOR_ROWS))?;
        self.introduce(&kept);
        let (mut ways, mut floors) = (Vec::new(), Vec::new());
        for run in 1..=self.runs {
            // One of each in turn: what disturbs the machine for a while disturbs both.
            let way = self.run(&this, &backhaul, &vendor, dir.path())?;
            way.show(&format!("run {run}"), self.contacts);
            ways.push(way);
            let least = run_floor(&this, &pages, dir.path(), kept.rows)?;
            least.show(&format!("floor {run}"), kept.rows);
            floors.push(least);
        }
        Cost::median(&ways).show("run, median", self.contacts);
        Cost::median(&floors).show("floor, median", kept.rows);
        let each = |costs: &[Cost], rows: u64| Cost::median(costs).cpu() / rows as f64;
        let ratio = each(&ways, self.contacts) / each(&floors, kept.rows);
        println!("\nThe whole way costs {ratio:.2} x the floor: CPU time per row, median over median.");
        Ok(())
    }

    fn introduce(&self, kept: &Kept) {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (contacts, runs, bytes) = (grouped(self.contacts), self.runs, grouped(kept.bytes / kept.rows));
        let (system, machine, rows) = (std::env::consts::OS, std::env::consts::ARCH, grouped(kept.rows));
        println!("command   backhaul --config CONFIG --format json -q run --dataset contacts");
        println!("machine   {cores} cores, {system}, {machine}");
        println!(
            "settings  {contacts} Intercom contacts of {bytes} bytes, made beforehand, in pages of {PAGE}, seed 1;"
        );
        println!(
            "          no rate limits; database and queue on disk, empty at first; all else by default; runs: {runs}"
        );
        println!(
            "floor     {rows} of the same rows from a file: parse, upsert 20 columns under a unique key in SQLite\n"
        );
        let [rows, per_cpu, wall, user, system, peak] =
            ["rows/s", "rows/CPU-s", "wall s", "user s", "sys s", "peak MB"];
        println!("{:<14}{rows:>10}{per_cpu:>12}{wall:>9}{user:>9}{system:>8}{peak:>9}", "");
    }

    /// Runs the whole way once, into a folder of its own.
    fn run(&self, this: &Path, backhaul: &Path, vendor: &Vendor, dir: &Path) -> Outcome<Cost> {
        let dir = tempfile::Builder::new().prefix("run-").tempdir_in(dir)?;
        let (config, database) = (dir.path().join("backhaul.toml"), dir.path().join("backhaul.db"));
        let text = format!(
            r#"[accounts.desk]
source = "intercom"
base_url = "{}"
token = {{ env = "BENCH_INTERCOM_TOKEN" }}
page_size = {PAGE}
pace = {{ requests = 1000000, per = "1s" }}
"#,
            vendor.address
        );
        fs::write(&config, text)?;
        let words = ["--format", "json", "-q", "run", "--dataset", "contacts"].map(OsStr::new);
        let words = [OsStr::new("--config"), config.as_os_str()].into_iter().chain(words);
        let mut command = measured(this, backhaul);
        command.args(words).env("BENCH_INTERCOM_TOKEN", INTERCOM_TOKEN);
        let (cost, said) = Cost::of(&mut command)?;
        let report: serde_json::Value = serde_json::from_str(&said)?;
        if report["whole"] != json!(true) {
            return Err(format!("the run is not whole: {said}").into());
        }
        expect(&database, self.contacts)?;
        Ok(cost)
    }
}

/// The simulator, as a process of its own.
struct Vendor {
    process: Child,
    address: String,
}

impl Vendor {
    fn start(backhaul: &Path, contacts: u64) -> Outcome<Vendor> {
        let mut process = Command::new(backhaul)
            .args(["--format", "json", "-q", "simulate", "--listen", "127.0.0.1:0", "--prerender", "--no-rate-limits"])
            .args(["--contacts", &contacts.to_string(), "--calls-per-day", "0", "--seed", "1", "--now", NOW])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", backhaul.display()))?;
        let stdout = process.stdout.take();
        // From here on the process ends with this value.
        let mut vendor = Vendor { process, address: String::new() };
        let mut line = String::new();
        BufReader::new(stdout.ok_or("the simulator has no stdout")?).read_line(&mut line)?;
        let serving: serde_json::Value =
            serde_json::from_str(&line).map_err(|_| format!("the simulator does not say where it serves: {line}"))?;
        vendor.address = serving["intercom"].as_str().ok_or("the simulator names no address of Intercom")?.to_owned();
        Ok(vendor)
    }

    /// Writes the pages that a run reads to a file, one a line, until they hold `rows` contacts.
    fn keep_pages(&self, path: &Path, rows: u64) -> Outcome<Kept> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut file = BufWriter::new(File::create(path)?);
        let client = reqwest::Client::new();
        let mut kept = Kept { rows: 0, bytes: 0 };
        let mut after: Option<String> = None;
        while kept.rows < rows {
            let mut pagination = json!({"per_page": u64::from(PAGE).min(rows - kept.rows)});
            if let Some(after) = after {
                pagination["starting_after"] = after.into();
            }
            let ask = json!({
                "query": {"operator": "AND", "value": [{"field": "updated_at", "operator": ">", "value": 0}]},
                "pagination": pagination,
                "sort": {"field": "updated_at", "order": "ascending"},
            });
            let request = client
                .post(format!("{}/contacts/search", self.address))
                .bearer_auth(INTERCOM_TOKEN)
                .header("intercom-version", VERSION)
                .header("content-type", "application/json")
                .body(ask.to_string());
            let page = runtime.block_on(async { request.send().await?.error_for_status()?.bytes().await })?;
            let head: Head = serde_json::from_slice(&page)?;
            if head.data.is_empty() || page.contains(&b'\n') {
                return Err("a page is empty or takes more than one line".into());
            }
            kept.rows += head.data.len() as u64;
            kept.bytes += page.len() as u64;
            file.write_all(&page)?;
            file.write_all(b"\n")?;
            after = head.pages.next.map(|next| next.starting_after);
        }
        file.into_inner()?.sync_all()?;
        Ok(kept)
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        // It holds nothing that a kill could harm. When it is gone already there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the file of pages holds.
struct Kept {
    rows: u64,
    bytes: u64,
}

#[derive(Deserialize)]
struct Head {
    data: Vec<serde::de::IgnoredAny>,
    pages: Pages,
}

#[derive(Deserialize)]
struct Pages {
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    starting_after: String,
}

/// What one process took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cost {
    wall: f64,
    user: f64,
    system: f64,
    peak_mb: f64,
}

impl Cost {
    /// Runs what [`measured`] made; gives the cost and what the process printed.
    fn of(command: &mut Command) -> Outcome<(Cost, String)> {
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let text = String::from_utf8(output.stdout)?;
        if !output.status.success() {
            return Err(format!("it failed: {text}").into());
        }
        let (cost, said) = text.split_once('\n').ok_or("nothing was measured")?;
        Ok((serde_json::from_str(cost)?, said.to_owned()))
    }

    fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// The median of each figure by itself.
    fn median(costs: &[Cost]) -> Cost {
        let of = |figure: fn(&Cost) -> f64| {
            let mut figures: Vec<f64> = costs.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            let middle = figures.len() / 2;
            if figures.len() % 2 == 1 { figures[middle] } else { (figures[middle - 1] + figures[middle]) / 2.0 }
        };
        let (wall, user) = (of(|cost| cost.wall), of(|cost| cost.user));
        Cost { wall, user, system: of(|cost| cost.system), peak_mb: of(|cost| cost.peak_mb) }
    }

    fn show(&self, name: &str, rows: u64) {
        let Cost { wall, user, system, peak_mb } = self;
        let per = |seconds: f64| grouped((rows as f64 / seconds).round() as u64);
        let (speed, per_cpu) = (per(*wall), per(self.cpu()));
        println!("{name:<14}{speed:>10}{per_cpu:>12}{wall:>9.2}{user:>9.2}{system:>8.2}{peak_mb:>9.1}");
    }
}

/// A command that runs `program` under `bench measure`. What the system keeps of finished children is a sum over all of
/// them, and the peak of a child begins at that of whoever started it: so each is the only child of a small process.
fn measured(this: &Path, program: &Path) -> Command {
    let mut command = Command::new(this);
    command.arg("measure").arg(program);
    command
}

/// Runs the program and prints what it took, then what it printed.
fn measure(program: &str, args: &[&str]) -> Outcome<()> {
    let began = Instant::now();
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output()?;
    let wall = began.elapsed().as_secs_f64();
    let said = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("{program} ended with {}: {said}", output.status).into());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    // The unit is a kilobyte on Linux and a byte on macOS.
    let unit = if cfg!(target_os = "macos") { 1.0 } else { 1024.0 };
    let (user, system) = (seconds(usage.user_time()), seconds(usage.system_time()));
    let cost = Cost { wall, user, system, peak_mb: usage.max_rss() as f64 * unit / 1e6 };
    println!("{}\n{said}", serde_json::to_string(&cost)?);
    Ok(())
}

fn run_floor(this: &Path, pages: &Path, dir: &Path, rows: u64) -> Outcome<Cost> {
    let dir = tempfile::Builder::new().prefix("floor-").tempdir_in(dir)?;
    let database = dir.path().join("floor.db");
    let mut command = measured(this, this);
    let (cost, _) = Cost::of(command.arg("floor").arg(pages).arg(&database))?;
    expect(&database, rows)?;
    Ok(cost)
}

/// Refuses a result that does not hold every contact.
fn expect(database: &Path, rows: u64) -> Outcome<()> {
    let connection = Connection::open(database)?;
    let held: i64 = connection.query_row("SELECT COUNT(*) FROM contacts", [], |row| row.get(0))?;
    if u64::try_from(held).ok() == Some(rows) {
        Ok(())
    } else {
        Err(format!("the table holds {held} contacts, and not {rows}").into())
    }
}

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// Nineteen columns of a contact; the twentieth is the record as it came.
#[derive(Deserialize)]
struct Contact<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    external_id: Option<Text<'a>>,
    workspace_id: Option<Text<'a>>,
    role: Option<Text<'a>>,
    email: Option<Text<'a>>,
    phone: Option<Text<'a>>,
    name: Option<Text<'a>>,
    owner_id: Option<Text<'a>>,
    has_hard_bounced: Option<bool>,
    marked_email_as_spam: Option<bool>,
    unsubscribed_from_emails: Option<bool>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    signed_up_at: Option<i64>,
    last_seen_at: Option<i64>,
    last_replied_at: Option<i64>,
    last_contacted_at: Option<i64>,
    browser: Option<Text<'a>>,
    browser_version: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

const KEY: &str = "id";
const COLUMNS: &str = "external_id workspace_id role email phone name owner_id has_hard_bounced marked_email_as_spam \
                       unsubscribed_from_emails created_at updated_at signed_up_at last_seen_at last_replied_at \
                       last_contacted_at browser browser_version raw";

/// The least that a row can cost: parses the pages of a file and upserts their contacts, as this process.
fn floor(pages: &Path, database: &Path) -> Outcome<()> {
    let mut connection = Connection::open(database)?;
    let each = |form: fn(&str) -> String| COLUMNS.split_whitespace().map(form).collect::<String>();
    connection.execute_batch(&format!(
        "PRAGMA page_size = 32768; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;
         CREATE TABLE contacts ({KEY} TEXT NOT NULL UNIQUE{});",
        each(|name| format!(", {name}"))
    ))?;
    let sets = each(|name| format!("{name} = excluded.{name},"));
    let sql = format!(
        "INSERT INTO contacts VALUES (?{}) ON CONFLICT ({KEY}) DO UPDATE SET {} WHERE excluded.updated_at > updated_at",
        each(|_| String::from(", ?")),
        sets.trim_end_matches(',')
    );
    let mut file = BufReader::with_capacity(1 << 20, File::open(pages)?);
    let mut line = Vec::new();
    let mut more = true;
    while more {
        let transaction = connection.transaction()?;
        let mut upsert = transaction.prepare_cached(&sql)?;
        let mut rows = 0;
        while rows < LOAD {
            line.clear();
            more = file.read_until(b'\n', &mut line)? > 0;
            if !more {
                break;
            }
            let page: Listing<'_> = serde_json::from_slice(&line)?;
            rows += page.data.len();
            for record in &page.data {
                let raw = record.get();
                let c: Contact<'_> = serde_json::from_str(raw)?;
                #[rustfmt::skip]
                let values: [&dyn ToSql; 20] = [
                    &c.id, &c.external_id, &c.workspace_id, &c.role, &c.email, &c.phone, &c.name, &c.owner_id,
                    &c.has_hard_bounced, &c.marked_email_as_spam, &c.unsubscribed_from_emails, &c.created_at,
                    &c.updated_at, &c.signed_up_at, &c.last_seen_at, &c.last_replied_at, &c.last_contacted_at,
                    &c.browser, &c.browser_version, &raw,
                ];
                upsert.execute(values)?;
            }
        }
        drop(upsert);
        transaction.commit()?;
    }
    Ok(())
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
