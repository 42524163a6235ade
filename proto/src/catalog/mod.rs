//! Every dataset as data. Compiled in, so that all programs of a fleet of one version agree on it.

mod eight_by_eight;
mod intercom;
mod webex;

use crate::dataset::{Column, Convert, Dataset, SourceName};

/// All datasets, in the order in which reports list them.
pub static ALL: [&Dataset; 10] = [
    &eight_by_eight::CALL_DETAIL_RECORDS,
    &webex::CDR_RECORDS,
    &intercom::USERS,
    &intercom::COMPANIES,
    &intercom::CONTACTS,
    &intercom::ADMINS,
    &intercom::CONVERSATIONS,
    &intercom::TEAMS,
    &intercom::TAGS,
    &intercom::SEGMENTS,
];

/// The dataset of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Dataset> {
    ALL.into_iter().find(|dataset| dataset.name == name)
}

/// The datasets of one source.
pub fn of(source: SourceName) -> impl Iterator<Item = &'static Dataset> {
    ALL.into_iter().filter(move |dataset| dataset.source == source)
}

/// Its place in [`ALL`].
#[must_use]
pub fn index(dataset: &Dataset) -> usize {
    ALL.iter().position(|other| *other == dataset).unwrap_or_default()
}

/// A column of the same name as the vendor's field.
const fn same(name: &'static str, convert: Convert, doc: &'static str) -> Column {
    Column { name, field: name, convert, doc }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::dataset::{Kind, Slicing};

    #[test]
    fn every_dataset_is_consistent() {
        let mut names = HashSet::new();
        for dataset in ALL {
            assert!(names.insert(dataset.name), "{} twice", dataset.name);
            assert_eq!(find(dataset.name), Some(dataset));
            let columns = dataset.table_columns();
            let distinct: HashSet<String> = columns.iter().map(|c| c.name.to_lowercase()).collect();
            assert_eq!(distinct.len(), columns.len(), "{}: a column name stands twice", dataset.name);
            assert!(!dataset.key.is_empty());
            for key in dataset.key {
                assert!(dataset.column(key).is_some(), "{}: key {key} is no column", dataset.name);
            }
            if let Some(time) = dataset.time {
                let column = dataset.column(time).unwrap_or_else(|| panic!("{}: {time}", dataset.name));
                assert_eq!(column.kind(), Kind::Timestamp);
            }
            for column in dataset.columns {
                assert!(!column.doc.is_empty() && column.name.len() <= 60, "{}.{}", dataset.name, column.name);
            }
            assert!(matches!(dataset.slicing, Slicing::Entity) == (dataset.source == SourceName::Intercom));
        }
    }

    /// The table of the script that this replaces: existing queries depend on these names and types.
    #[test]
    fn the_8x8_table_has_exactly_the_36_columns_of_the_old_one() {
        let dataset = find("8x8CallDetailRecords").unwrap();
        let of_kind = |kind| {
            let mut names: Vec<_> = dataset.columns.iter().filter(|c| c.kind() == kind).map(|c| c.name).collect();
            names.sort_unstable();
            names.join(" ")
        };
        assert_eq!(dataset.columns.len(), 36);
        assert_eq!(dataset.key, ["callId"]);
        assert_eq!(of_kind(Kind::Timestamp), "connectTimeUTC disconnectedTimeUTC startTimeUTC");
        assert_eq!(
            of_kind(Kind::Integer),
            "abandonedTime answeredTime callTime calleeHoldDurationMS ringDuration talkTimeMS waitTimeMS"
        );
        assert_eq!(
            of_kind(Kind::Text),
            "aaDestination abandoned answered branches callId callLegCount callee calleeDisconnectOnHold \
             calleeHoldDuration calleeName caller callerDisconnectOnHold callerId callerName connectTime departments \
             direction disconnectedTime dnis lastLegDisposition missed pbxId sipCallId startTime talkTime waitTime"
        );
    }

    #[test]
    fn the_webex_table_has_every_documented_field_in_snake_case() {
        let dataset = find("cdr_records").unwrap();
        assert_eq!(dataset.columns.len(), 87);
        for (name, field) in [
            ("report_id", "Report ID"),
            ("final_local_session_id", "Final local SessionID"),
            ("pstn_vendor_org_id", "PSTN Vendor Org ID"),
            ("device_mac", "Device MAC"),
            ("os_type", "OS type"),
            ("wxcc_consult_merge_status", "WxCC consult merge status"),
        ] {
            assert_eq!(dataset.column(name).map(|c| c.field), Some(field));
        }
    }
}
