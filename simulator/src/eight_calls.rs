//! 8x8 call records and legs, newest last in index order.

use chrono::DateTime;
use chrono_tz::Tz;

use crate::chance::Chance;
use crate::json::{Object, array, quote, quote_ascii};
use crate::timeline::Timeline;
use crate::words;
use crate::world::Entry;

const STREAM: u64 = 0x8008;
const FIRST_ID: u64 = 1_635_571_048_345;
const ID_STEP: u64 = 7;
/// No call is longer than this, in milliseconds.
pub(crate) const LONGEST: i64 = 2 * 3_600_000;

/// Makes the calls of all PBXes.
#[derive(Clone, Debug)]
pub(crate) struct EightCalls {
    pub(crate) line: Timeline,
    pub(crate) pbxes: Vec<String>,
    pub(crate) leg_count_integer: bool,
}

struct Call {
    outcome: u64,
    ring: i64,
    talk: i64,
    caller: String,
    callee: String,
    caller_number: u64,
    extension: u64,
    legs: u64,
    ascii: bool,
    rest: Chance,
}

impl EightCalls {
    pub(crate) const GROUPS: &'static [u64] = &[1, 1, 1, 2, 4];

    pub(crate) const fn stream() -> u64 {
        STREAM
    }

    pub(crate) fn id(index: u64) -> u64 {
        FIRST_ID + index * ID_STEP
    }

    pub(crate) fn index(id: u64) -> Option<u64> {
        id.checked_sub(FIRST_ID).filter(|rest| rest % ID_STEP == 0).map(|rest| rest / ID_STEP)
    }

    /// Which PBX a call belongs to.
    pub(crate) fn pbx(&self, index: u64) -> usize {
        Chance::new(self.line.seed, STREAM ^ 0xb0, index).below(self.pbxes.len() as u64) as usize
    }

    fn call(&self, index: u64, revision: u32) -> Call {
        let mut chance = Chance::new(self.line.seed, STREAM, index);
        let outcome = chance.below(10);
        let ring = 20 + chance.below(30_000) as i64;
        let most = if chance.one_in(40) { 6_000_000 } else { 600_000 };
        let talk = if outcome < 6 { 1_000 + chance.below(most) as i64 } else { 0 };
        let caller = format!("{} {}", chance.pick(words::FIRST), chance.pick(words::LAST));
        let callee = format!("{} {}", chance.pick(words::FIRST), chance.pick(words::LAST));
        Call {
            outcome,
            ring,
            talk: talk + i64::from(revision) * 1_000 * i64::from(outcome < 6),
            caller,
            callee,
            caller_number: 2_025_550_000 + chance.below(10_000),
            extension: 120_000 + chance.below(400),
            legs: 1 + chance.below(4) * chance.below(2),
            ascii: chance.one_in(6),
            rest: chance,
        }
    }

    /// How many legs the call has.
    pub(crate) fn legs(&self, index: u64) -> u64 {
        self.call(index, 0).legs
    }

    pub(crate) fn write(&self, entry: Entry, zone: Tz, out: &mut Vec<u8>) {
        let mut call = self.call(entry.index, entry.revision);
        let answered = call.outcome < 6;
        let abandoned = call.outcome == 9;
        let internal = call.rest.one_in(5);
        let start = entry.time;
        let connect = if answered { start + call.ring } else { 0 };
        let waits = if abandoned { 204 + call.rest.below(1_000_000) as i64 } else { 0 };
        let hold = if answered && call.rest.one_in(8) { call.talk / 3 } else { 0 };
        let end = start + call.ring + call.talk + waits;
        let total = end - start;
        let name = |out: &mut Vec<u8>, text: &str| if call.ascii { quote_ascii(out, text) } else { quote(out, text) };
        let number = format!("+1{}", call.caller_number);

        let mut object = Object::new(out);
        object.plain("dnis", format_args!("1202555{:04}", call.rest.below(10_000)));
        object.maybe_text("aaDestination", call.rest.one_in(30).then_some("Main menu, option 2"));
        object.plain("callId", format_args!("{}", Self::id(entry.index)));
        object.int("startTimeUTC", start);
        object.text("startTime", &wall(start, zone));
        object.int("connectTimeUTC", connect);
        object.text("connectTime", &wall(connect, zone));
        object.int("disconnectedTimeUTC", end);
        object.text("disconnectedTime", &wall(end, zone));
        if !call.rest.one_in(50) {
            object.int("talkTimeMS", call.talk);
            object.text("talkTime", &clock(call.talk));
        }
        object.text("caller", &number);
        object.with("callerName", |out| name(out, &call.caller));
        if answered || abandoned {
            object.plain("callee", format_args!("{}", call.extension));
        } else {
            object.plain("callee", format_args!("Voicemail ({})", call.extension));
        }
        object.with("calleeName", |out| name(out, &call.callee));
        object.text(
            "direction",
            if internal { "Internal" } else { ["Incoming", "Outgoing"][(call.outcome % 2) as usize] },
        );
        object.with("callerId", |out| name(out, &format!("{},{number}", call.caller)));
        object.text("missed", if answered { "-" } else { "Missed" });
        object.text("abandoned", if abandoned { "Abandoned" } else { "-" });
        object.text("answered", if answered { "Answered" } else { "-" });
        object.int("answeredTime", if answered { call.ring } else { 0 });
        object.text("calleeDisconnectOnHold", "");
        object.text("callerDisconnectOnHold", "");
        object.text("pbxId", &self.pbxes[self.pbx(entry.index)]);
        object.plain("sipCallId", format_args!("{}_{}@206.147.76.5", 170_000_000 + entry.index, call.caller_number));
        let disposition = if abandoned { 5 } else { call.rest.below(2) + if answered { 0 } else { 2 } };
        object.text("lastLegDisposition", DISPOSITION[disposition as usize]);
        if self.leg_count_integer {
            object.int("callLegCount", call.legs as i64);
        } else {
            object.plain("callLegCount", format_args!("{}", call.legs));
        }
        object.int("callTime", total);
        object.int("ringDuration", call.ring);
        object.int("abandonedTime", if abandoned { total } else { 0 });
        object.int("calleeHoldDurationMS", hold);
        object.text("calleeHoldDuration", &clock(hold));
        object.int("waitTimeMS", waits);
        object.text("waitTime", &clock(waits));
        let departments = call.rest.below(4);
        object.with("departments", |out| {
            array(out, 0..departments, |out, _| quote(out, call.rest.pick(words::DEPARTMENT)));
        });
        object.with("branches", |out| array(out, 0..1, |out, _: u64| quote(out, call.rest.pick(words::BRANCH))));
        if call.rest.one_in(25) {
            object.plain("lra", format_args!("{}", call.extension));
        }
        object.end();
    }

    /// Writes leg `leg` (from 1) of a call. Its start is the call's, a few milliseconds later for each leg.
    pub(crate) fn write_leg(&self, entry: Entry, leg: u64, zone: Tz, out: &mut Vec<u8>) {
        let call = self.call(entry.index, entry.revision);
        let answered = call.outcome < 6;
        let start = entry.time + 6 * leg as i64;
        let end = entry.time + call.ring + call.talk;
        let connect = if answered { entry.time + call.ring } else { 0 };
        let mut object = Object::new(out);
        object.plain("callId", format_args!("{}", Self::id(entry.index)));
        object.plain("legId", format_args!("{leg}"));
        object.int("startTimeUTC", start);
        object.text("startTime", &wall(start, zone));
        object.int("connectTimeUTC", connect);
        object.text("connectTime", &wall(connect, zone));
        object.int("disconnectedTimeUTC", end);
        object.text("disconnectedTime", &wall(end, zone));
        object.int("talkTimeMS", call.talk);
        object.text("talkTime", &clock(call.talk));
        object.plain("caller", format_args!("+1{}", call.caller_number));
        object.text("callerName", &call.caller);
        object.plain("callee", format_args!("{}", call.extension));
        object.text("calleeName", &call.callee);
        object.text("direction", ["Incoming", "Outgoing"][(call.outcome % 2) as usize]);
        object.raw("parentCallId", "null");
        object.raw("transferToCallId", "null");
        object.text("status", "Completed");
        object.text("missed", if answered { "-" } else { "Missed" });
        object.text("answered", if answered { "Answered" } else { "-" });
        object.text("cause", if answered { "Normal" } else { "Ring No Answer" });
        object.int("lraType", 1);
        object.text("pbxId", &self.pbxes[self.pbx(entry.index)]);
        object.int("callTime", end - start);
        object.end();
    }
}

const DISPOSITION: [&str; 6] = ["Connected", "Answered", "Voicemail", "Missed", "Busy", "Abandoned"];

/// A wall clock with an offset without colon; `"0"` for what did not happen.
fn wall(millis: i64, zone: Tz) -> String {
    match DateTime::from_timestamp_millis(millis) {
        Some(time) if millis > 0 => time.with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S%.3f%z").to_string(),
        _ => "0".to_owned(),
    }
}

fn clock(millis: i64) -> String {
    let seconds = millis / 1_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
