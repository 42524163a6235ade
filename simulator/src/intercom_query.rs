//! The query of a search, checked and turned into something to ask each record.

use axum::response::Response;
use chrono_tz::Tz;
use serde_json::Value;

use crate::contacts::Contacts;
use crate::conversations::Conversations;
use crate::dataset::Set;
use crate::gate::Refusal;
use crate::intercom_answers as answers;
use crate::wall::day;
use crate::world::{Entry, World};

const MOST_FILTERS: usize = 15;
const DEEPEST: usize = 2;

/// Which records a search wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    /// Bounds that are both included.
    Updated(i64, i64),
    Created(i64, i64),
    Index(Option<u64>),
    User(bool),
}

/// How a query is read: dates of contacts are days in the workspace's zone unless the version sees seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) world: &'a World,
    pub(crate) set: Set,
    /// The zone whose days dates mean; `None` for exact seconds.
    pub(crate) days: Option<Tz>,
    pub(crate) inclusive: bool,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("World").finish_non_exhaustive()
    }
}

impl Reading<'_> {
    /// Reads a query.
    pub(crate) fn read(&self, query: &Value) -> Result<Filter, Refusal> {
        self.group(query, 0)
    }

    fn group(&self, query: &Value, depth: usize) -> Result<Filter, Refusal> {
        let operator = query["operator"].as_str().ok_or_else(|| malformed("operator is required"))?;
        if operator != "AND" && operator != "OR" {
            return self.single(query, operator);
        }
        let filters = query["value"].as_array().ok_or_else(|| malformed("value must be a list of filters"))?;
        if depth >= DEEPEST {
            return Err(malformed("filters must not be nested deeper than two levels").into());
        }
        if filters.is_empty() || filters.len() > MOST_FILTERS {
            return Err(malformed("a group takes 1 to 15 filters").into());
        }
        let filters = filters.iter().map(|filter| self.group(filter, depth + 1)).collect::<Result<_, _>>()?;
        Ok(if operator == "AND" { Filter::All(filters) } else { Filter::Any(filters) })
    }

    fn single(&self, query: &Value, operator: &str) -> Result<Filter, Refusal> {
        let field = query["field"].as_str().ok_or_else(|| malformed("field is required"))?;
        let value = &query["value"];
        match (field, self.set) {
            ("updated_at", _) => self.date(operator, value, Filter::Updated),
            ("created_at", _) => self.date(operator, value, Filter::Created),
            ("id", _) => listed(operator, value, |text| {
                Ok(Filter::Index(match self.set {
                    Set::Conversations => Conversations::index(text),
                    _ => self.world.contacts.index(text),
                }))
            }),
            ("role", Set::Contacts) => listed(operator, value, |text| match text {
                "user" => Ok(Filter::User(true)),
                "lead" => Ok(Filter::User(false)),
                _ => Err(answers::bad("parameter_invalid", "role must be user or lead").into()),
            }),
            _ => Err(answers::bad("invalid_field", &format!("{field} is not a field to search by")).into()),
        }
    }

    fn date(&self, operator: &str, value: &Value, make: fn(i64, i64) -> Filter) -> Result<Filter, Refusal> {
        let one = |value: &Value| match value {
            Value::Number(number) => number.as_i64().ok_or_else(|| malformed("a date is in whole seconds").into()),
            Value::String(text) => text.parse().map_err(|_| malformed("a date is in seconds").into()),
            _ => Err(Refusal::from(malformed("a date is in seconds"))),
        };
        // The seconds a date means: one, or all of its day.
        let meant = |second: i64| match self.days {
            None => (second, second),
            Some(zone) => {
                let (start, next) = day(zone, second);
                (start, next - 1)
            }
        };
        let contacts = self.set == Set::Contacts;
        match operator {
            "IN" | "NIN" if !contacts => {
                let values = value.as_array().ok_or_else(|| malformed("value must be a list"))?;
                let any = values.iter().map(|value| one(value).map(|second| make(second, second)));
                let any = Filter::Any(any.collect::<Result<_, _>>()?);
                return Ok(if operator == "IN" { any } else { Filter::Not(Box::new(any)) });
            }
            _ => {}
        }
        let (first, last) = meant(one(value)?);
        let step = i64::from(!self.inclusive || contacts);
        match operator {
            "=" => Ok(make(first, last)),
            ">" => Ok(make(last.saturating_add(step), i64::MAX)),
            "<" => Ok(make(i64::MIN, first.saturating_sub(step))),
            ">=" if !contacts => Ok(make(first, i64::MAX)),
            "<=" if !contacts => Ok(make(i64::MIN, last)),
            "!=" if !contacts => Ok(Filter::Not(Box::new(make(first, last)))),
            _ => Err(answers::bad("parameter_invalid", &format!("{operator} is not an operator of dates")).into()),
        }
    }
}

fn malformed(message: &str) -> Response {
    answers::bad("parameter_invalid", message)
}

fn listed(operator: &str, value: &Value, one: impl Fn(&str) -> Result<Filter, Refusal>) -> Result<Filter, Refusal> {
    let text = |value: &Value| -> Result<Filter, Refusal> {
        one(value.as_str().ok_or_else(|| malformed("value must be a string"))?)
    };
    let values = || value.as_array().ok_or_else(|| Refusal::from(malformed("value must be a list")));
    match operator {
        "=" => text(value),
        "!=" => Ok(Filter::Not(Box::new(text(value)?))),
        "IN" => Ok(Filter::Any(values()?.iter().map(text).collect::<Result<_, _>>()?)),
        "NIN" => Ok(Filter::Not(Box::new(Filter::Any(values()?.iter().map(text).collect::<Result<_, _>>()?)))),
        _ => Err(malformed(&format!("{operator} is not an operator of this field")).into()),
    }
}

impl Filter {
    /// Whether the record is wanted.
    pub(crate) fn wants(&self, world: &World, set: Set, entry: Entry) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.wants(world, set, entry)),
            Self::Any(filters) => filters.iter().any(|filter| filter.wants(world, set, entry)),
            Self::Not(filter) => !filter.wants(world, set, entry),
            Self::Updated(low, high) => (*low..=*high).contains(&entry.time),
            Self::Created(low, high) => {
                let created = match set {
                    Set::Conversations => world.conversations.created(entry.index, entry.time),
                    _ => world.contacts.created(entry.index, entry.time),
                };
                (*low..=*high).contains(&created)
            }
            Self::Index(index) => *index == Some(entry.index),
            Self::User(user) => Contacts::is_user(entry.index) == *user,
        }
    }

    /// Bounds of `updated_at` outside of which nothing is wanted.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        let all = (i64::MIN, i64::MAX);
        match self {
            Self::Updated(low, high) => (*low, *high),
            Self::All(filters) => {
                filters.iter().map(Self::bounds).fold(all, |sum, one| (sum.0.max(one.0), sum.1.min(one.1)))
            }
            Self::Any(filters) => {
                let none = (i64::MAX, i64::MIN);
                filters.iter().map(Self::bounds).fold(none, |sum, one| (sum.0.min(one.0), sum.1.max(one.1)))
            }
            Self::Not(_) | Self::Created(..) | Self::Index(_) | Self::User(_) => all,
        }
    }

    /// True when only users are wanted, as far as the outermost filters tell.
    pub(crate) fn is_users(&self) -> bool {
        match self {
            Self::All(filters) => filters.iter().any(Self::is_users),
            Self::User(user) => *user,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Clock, Settings};
    use serde_json::json;

    fn world() -> World {
        World::new(Settings { now: Clock::Fixed("2026-11-20T12:00:00Z".parse().unwrap()), ..Settings::default() })
    }

    fn at(text: &str) -> i64 {
        text.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()
    }

    fn contacts(world: &World) -> Reading<'_> {
        Reading { world, set: Set::Contacts, days: Some(Tz::America__Los_Angeles), inclusive: false }
    }

    fn read(reading: &Reading<'_>, query: &Value) -> Option<Filter> {
        reading.read(query).ok()
    }

    #[test]
    fn after_a_date_means_from_the_next_day_of_the_workspace() {
        let world = world();
        let noon = at("2026-06-10T20:00:00Z");
        let query = |operator: &str| json!({"field": "updated_at", "operator": operator, "value": noon});
        let (start, next) = (at("2026-06-10T07:00:00Z"), at("2026-06-11T07:00:00Z"));
        let reading = contacts(&world);
        assert_eq!(read(&reading, &query(">")), Some(Filter::Updated(next, i64::MAX)));
        assert_eq!(read(&reading, &query("=")), Some(Filter::Updated(start, next - 1)));
        assert_eq!(read(&reading, &query("<")), Some(Filter::Updated(i64::MIN, start - 1)));
        for refused in [">=", "<=", "!=", "IN", "NIN", "~"] {
            assert_eq!(read(&reading, &query(refused)), None);
        }
    }

    #[test]
    fn a_day_of_the_change_of_clocks_has_its_own_length() {
        let world = world();
        let query = json!({"field": "updated_at", "operator": "=", "value": at("2026-11-01T20:00:00Z")});
        let Some(Filter::Updated(first, last)) = read(&contacts(&world), &query) else { panic!() };
        assert_eq!(last - first + 1, 25 * 3_600);
    }

    #[test]
    fn conversations_are_filtered_by_the_second() {
        let world = world();
        let reading = Reading { set: Set::Conversations, days: None, ..contacts(&world) };
        let query = json!({"field": "updated_at", "operator": ">", "value": 100});
        assert_eq!(read(&reading, &query), Some(Filter::Updated(101, i64::MAX)));
        assert_eq!(read(&Reading { inclusive: true, ..reading }, &query), Some(Filter::Updated(100, i64::MAX)));
    }

    #[test]
    fn groups_are_bounded_in_depth_and_size() {
        let world = world();
        let reading = contacts(&world);
        let one = json!({"field": "role", "operator": "=", "value": "user"});
        let group = |filters: Vec<Value>| json!({"operator": "AND", "value": filters});
        assert!(read(&reading, &group(vec![group(vec![one.clone()])])).is_some());
        assert!(read(&reading, &group(vec![group(vec![group(vec![one.clone()])])])).is_none());
        assert!(read(&reading, &group(vec![one.clone(); 15])).is_some());
        assert!(read(&reading, &group(vec![one; 16])).is_none());
        assert!(read(&reading, &json!({"field": "shoe_size", "operator": "=", "value": "9"})).is_none());
    }

    #[test]
    fn bounds_hold_what_is_wanted() {
        let any = Filter::Any(vec![Filter::Updated(5, 9), Filter::Updated(20, 30)]);
        assert_eq!(any.bounds(), (5, 30));
        assert_eq!(Filter::All(vec![any, Filter::Updated(7, 40), Filter::User(true)]).bounds(), (7, 30));
    }
}
