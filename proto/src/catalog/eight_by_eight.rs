//! 8x8 Analytics for Work: call records. The 36 columns are those of the table that existing reports read.

use std::time::Duration;

use super::same;
use crate::dataset::{Column, Convert, Dataset, Slicing, SourceName, Timing};

/// Call records, one per call.
pub(super) static CALL_DETAIL_RECORDS: Dataset = Dataset {
    name: "8x8CallDetailRecords",
    source: SourceName::EightByEight,
    table: "8x8CallDetailRecords",
    columns: COLUMNS,
    key: &["callId"],
    version: None,
    time: Some("startTimeUTC"),
    slicing: Slicing::PartitionDay,
    // The vendor keeps two years; it documents no delay, and calls are written when they end.
    timing: Timing {
        holds: Some(Duration::from_secs(730 * 86_400)),
        settles: Duration::from_secs(900),
        look_back: Duration::from_secs(26 * 3600),
    },
    known: &["lra"],
    any_case: false,
    raw: "raw",
    fetched_at: "_fetched_at",
    doc: "8x8 call records, one row per call.",
};

static COLUMNS: &[Column] = &[
    same("callId", Convert::Text, "Digits; unique per call: the key."),
    same("sipCallId", Convert::Text, "The SIP call id."),
    same("pbxId", Convert::Text, "The name of the PBX."),
    same("startTime", Convert::Text, "When the call started, in the zone of the request."),
    same(
        "connectTime",
        Convert::TextOrZero,
        "When the call was connected, in the zone of the request; NULL if it was not.",
    ),
    same("disconnectedTime", Convert::TextOrZero, "When the call ended, in the zone of the request."),
    same("startTimeUTC", Convert::Millis, "When the call started."),
    same("connectTimeUTC", Convert::Millis, "When the call was connected; NULL if it was not."),
    same("disconnectedTimeUTC", Convert::Millis, "When the call ended."),
    same("talkTime", Convert::Text, "Talk time as HH:MM:SS."),
    same("talkTimeMS", Convert::Integer, "Talk time in milliseconds."),
    same("callTime", Convert::Integer, "From start to end in milliseconds."),
    same("ringDuration", Convert::Integer, "Milliseconds."),
    same("waitTime", Convert::Text, "Wait time as HH:MM:SS."),
    same("waitTimeMS", Convert::Integer, "Wait time in milliseconds."),
    same("calleeHoldDuration", Convert::Text, "Hold time as HH:MM:SS."),
    same("calleeHoldDurationMS", Convert::Integer, "Hold time in milliseconds."),
    same("answeredTime", Convert::Integer, "Milliseconds."),
    same("abandonedTime", Convert::Integer, "Milliseconds; the call time if it was abandoned, else 0."),
    same("caller", Convert::Text, "The number or extension that called."),
    same("callerId", Convert::Text, "Name and number that called, joined by a comma."),
    same("callerName", Convert::Text, "The name of the caller."),
    same("callee", Convert::Text, "The number, extension or name that was called."),
    same("calleeName", Convert::Text, "The name of the callee."),
    same("dnis", Convert::Text, "The number that was dialled."),
    same("direction", Convert::Text, "Incoming, Outgoing or Internal."),
    same("missed", Convert::Text, "`Missed` or `-`."),
    same("abandoned", Convert::Text, "`Abandoned` or `-`."),
    same("answered", Convert::Text, "`Answered` or `-`."),
    same("lastLegDisposition", Convert::Text, "How the last leg ended."),
    same("callLegCount", Convert::Text, "Number of legs; a string or a number on the wire."),
    same("callerDisconnectOnHold", Convert::Text, "Whether the caller hung up on hold."),
    same("calleeDisconnectOnHold", Convert::Text, "Whether the callee hung up on hold."),
    same("departments", Convert::Joined, "Departments, joined by a comma."),
    same("branches", Convert::Joined, "Branches, joined by a comma."),
    same("aaDestination", Convert::Text, "Destination of the auto attendant."),
];
