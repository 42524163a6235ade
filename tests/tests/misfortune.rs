//! Whatever goes wrong once at a vendor, a run ends whole and equal to the truth.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says how far it came")]

use backhaul_tests::sandbox::{Sandbox, Setup};
use simulator::{Change, Dataset, Fault, FaultBody, Rule};

const CALLS: &str = "/8x8/analytics/work/v2/call-records";
const FEED: &str = "/webex/v1/cdr_feed";
const CONTACTS: &str = "/intercom/contacts/search";
const CONVERSATIONS: &str = "/intercom/conversations/search";
const SCROLL: &str = "/intercom/companies/scroll";
const TOKENS: [&str; 2] = ["/8x8/analytics/work/v1/oauth/token", "/webex/v1/access_token"];

/// Several pages in each walk, and so many records of Webex that a window has two.
fn setup() -> Setup {
    let mut setup = Setup { calls: "page_size = 50", desk: "page_size = 50", ..Setup::default() };
    (setup.world.days, setup.world.calls_per_day, setup.world.contacts) = (1, 1_400, 400);
    setup.world.companies = Some(250);
    setup
}

fn status(code: u16, retry_after: Option<u32>, body: FaultBody) -> Fault {
    Fault::Status { code, retry_after, body }
}

/// A run over vendors that suffer this at the first and at a later request of each address.
async fn survives(what: &str, fault: &Fault, paths: &[&str]) {
    survives_at(what, fault, paths, &[0, 2]).await;
}

/// A run over vendors that suffer this at each address after so many of its requests.
async fn survives_at(what: &str, fault: &Fault, paths: &[&str], skips: &[u32]) {
    let sandbox = Sandbox::start(setup()).await;
    for path in paths {
        sandbox.simulator().add(skips.iter().map(|skip| Rule::new(path, fault.clone()).after(*skip)));
    }
    let run = sandbox.backhaul(&["run"]).await;
    assert_eq!(run.status.code(), Some(0), "{what}: {}", run.said());
    for rule in sandbox.simulator().rules().iter().filter(|rule| rule.rule.skip == skips[0]) {
        assert_eq!(rule.fired, 1, "{what}: {}", rule.rule.path);
    }
    println!("{what}");
    sandbox.prove_newest().await;
}

const ALL: [&str; 9] = [
    CALLS,
    FEED,
    CONTACTS,
    CONVERSATIONS,
    SCROLL,
    "/intercom/admins",
    "/intercom/teams",
    "/intercom/tags",
    "/intercom/segments",
];

#[tokio::test]
async fn a_refusal_or_an_outage_of_each_vendor_is_survived() {
    for (what, fault) in [
        ("429 with Retry-After", status(429, Some(1), FaultBody::Json)),
        ("429 without Retry-After", status(429, None, FaultBody::Json)),
        ("500", status(500, None, FaultBody::Json)),
        ("502 with a page of a proxy", status(502, None, FaultBody::Html)),
        ("503 with Retry-After and nothing else", status(503, Some(1), FaultBody::Empty)),
        ("504 with a page of a proxy", status(504, None, FaultBody::Html)),
    ] {
        survives(what, &fault, &ALL).await;
    }
}

#[tokio::test]
async fn a_broken_answer_of_each_vendor_is_survived() {
    for (what, fault) in [
        ("a connection that breaks in mid-body", Fault::Reset),
        ("half of the JSON", Fault::Truncate),
        ("a stall", Fault::Stall { ms: 300 }),
        ("200 with nothing", Fault::EmptyOk),
    ] {
        survives(what, &fault, &ALL).await;
    }
}

#[tokio::test]
async fn a_token_that_expires_in_mid_walk_is_made_anew() {
    for skip in [0, 3, 6] {
        survives_at("expired tokens", &Fault::ExpireTokens, &[CALLS, FEED], &[skip]).await;
    }
}

#[tokio::test]
async fn an_outage_of_the_tokens_is_survived() {
    for (what, fault) in [
        ("503 for a token", status(503, None, FaultBody::Html)),
        ("429 for a token", status(429, Some(1), FaultBody::Json)),
        ("a reset for a token", Fault::Reset),
    ] {
        survives(what, &fault, &TOKENS).await;
    }
}

#[tokio::test]
async fn a_cursor_that_is_wrong_once_is_survived() {
    survives("a page again", &Fault::RepeatPage, &[CALLS, FEED, CONTACTS, CONVERSATIONS, SCROLL]).await;
    // Neither a scroll nor a first page of Webex without a link states how many records there are.
    survives_at("an early end", &Fault::Short, &[CALLS, CONTACTS, CONVERSATIONS], &[0, 2]).await;
    survives_at("an early end", &Fault::Short, &["startTimeForNextFetch"], &[0]).await;
}

#[tokio::test]
async fn pages_that_shift_under_a_walk_lose_nothing_by_the_next_run() {
    for (path, dataset) in [
        (CALLS, Dataset::EightCalls),
        (FEED, Dataset::WebexCalls),
        (CONTACTS, Dataset::Contacts),
        (CONVERSATIONS, Dataset::Conversations),
        (SCROLL, Dataset::Companies),
    ] {
        let sandbox = Sandbox::start(setup()).await;
        for skip in [1, 2, 3, 4] {
            let shift = Fault::Change(Change::Shift { dataset, insert: 20, touch: 20 });
            sandbox.simulator().add([Rule::new(path, shift).after(skip)]);
        }
        let run = sandbox.backhaul(&["run"]).await;
        assert_eq!(run.status.code(), Some(0), "{}: {}", dataset.name(), run.said());
        assert!(sandbox.simulator().rules()[0].fired == 1, "{}", dataset.name());
        sandbox.simulator().clear();
        let _ = sandbox.backhaul(&["run"]).await.with_code(0);
        println!("{}", dataset.name());
        sandbox.prove_newest().await;
    }
}

#[tokio::test]
async fn a_lasting_outage_of_one_vendor_ends_in_5_with_the_rest_loaded_and_heals_by_resume() {
    let mut setup = Setup { more: "[http]\ntries = 1\n", ..Setup::default() };
    setup.world.days = 1;
    let sandbox = Sandbox::start(setup).await;
    let text = sandbox.configuration().replace("give_up = \"1m\"", "give_up = \"2s\"");
    sandbox.configure(&text);
    sandbox.simulator().add([Rule::new("/intercom/", status(503, None, FaultBody::Html)).times(u32::MAX)]);
    let run = sandbox.backhaul(&["run"]).await.with_code(5);
    assert!(run.stderr.contains("HTTP 503") && run.stderr.contains("gave up after"), "{}", run.said());
    let counts = sandbox.counts();
    assert_eq!((counts["8x8CallDetailRecords"], counts["cdr_records"], counts["contacts"]), (60, 60, 0));
    sandbox.simulator().clear();
    let _ = sandbox.backhaul(&["dead", "replay"]).await.with_code(0);
    let _ = sandbox.resume().await.with_code(0);
    sandbox.prove_newest().await;
}

#[tokio::test]
async fn a_rough_day_is_survived_whatever_its_seed() {
    for seed in 0..5 {
        let mut setup = setup();
        setup.world.seed = seed;
        let sandbox = Sandbox::start(setup).await;
        sandbox.simulator().add(simulator::rough(seed));
        let run = sandbox.backhaul(&["run"]).await;
        assert_eq!(run.status.code(), Some(0), "seed {seed}: {}", run.said());
        println!("seed {seed}");
        sandbox.prove_newest().await;
    }
}
