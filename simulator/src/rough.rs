//! A rough day: misfortunes that a correct client survives, ending equal to the truth.

use crate::chance::Chance;
use crate::misfortune::{Fault, FaultBody, Rule};

/// Rules that hit each vendor with refusals, proxy errors, broken and empty answers, a stall and a token that expires in
/// mid-walk. The seed decides after how many requests each comes. The company scroll is only refused with 429: after any
/// other failure a client must start the scroll over, and wait for its lock.
pub fn rough(seed: u64) -> Vec<Rule> {
    let mut chance = Chance::new(seed, 0x0f06, 0);
    let status = |code, retry_after, body| Fault::Status { code, retry_after, body };
    let common = [
        status(429, Some(1), FaultBody::Json),
        status(500, None, FaultBody::Json),
        status(502, None, FaultBody::Html),
        Fault::Reset,
        Fault::Truncate,
        Fault::Stall { ms: 50 },
        Fault::EmptyOk,
        status(429, None, FaultBody::Json),
    ];
    let mut rules = Vec::new();
    for (path, tokens) in [
        ("/8x8/analytics/work/v2/call-records", true),
        ("/webex/v1/cdr_feed", true),
        ("/intercom/contacts/search", false),
        ("/intercom/conversations/search", false),
    ] {
        let mut skip = chance.below(2) as u32;
        for fault in common.iter().cloned().chain(tokens.then_some(Fault::ExpireTokens)) {
            rules.push(Rule::new(path, fault).after(skip));
            skip += 2 + chance.below(2) as u32;
        }
    }
    let refused = status(429, Some(1), FaultBody::Json);
    rules.push(Rule::new("/intercom/companies/scroll", refused.clone()).after(1));
    rules.push(Rule::new("/8x8/analytics/work/v1/oauth/token", status(503, None, FaultBody::Html)));
    rules.push(Rule::new("/webex/v1/access_token", status(502, None, FaultBody::Html)));
    rules.push(Rule::new("/intercom/tags", refused));
    rules.push(Rule::new("/intercom/admins", Fault::Truncate));
    rules.push(Rule::new("/intercom/segments", Fault::Reset));
    rules.push(Rule::new("/intercom/teams", status(504, None, FaultBody::Empty)));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_day() {
        assert_eq!(rough(3), rough(3));
        assert_ne!(rough(3), rough(4));
    }

    #[test]
    fn two_misfortunes_in_a_row_are_rare_enough_to_survive() {
        for seed in 0..50 {
            let mut skips: Vec<_> = rough(seed)
                .into_iter()
                .filter(|rule| rule.path.contains("call-records"))
                .map(|rule| rule.skip)
                .collect();
            skips.sort_unstable();
            assert!(skips.windows(2).all(|pair| pair[1] - pair[0] >= 2));
        }
    }
}
