//! The envelope of a page: checked to be UTF-8 once, parsed once, borrowed. Records stay where they are in the body.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ask::Answer;
use super::refusal::Refusal;

/// Reads the envelope of a successful answer.
///
/// An empty body, HTML in place of JSON and JSON that is cut off are all malformed: vendors answer 200 with each.
pub(super) fn parse<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, Refusal> {
    let malformed = |what: &str| Refusal::malformed(answer, what);
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Err(malformed("an empty answer"));
    }
    let text = simdutf8::basic::from_utf8(&answer.body).map_err(|_| malformed("the answer is not UTF-8"))?;
    if !text.trim_start().starts_with('{') {
        return Err(malformed("the answer is not JSON"));
    }
    // Only the place of the error is told: serde's own words may quote the payload.
    serde_json::from_str(text).map_err(|error| {
        let what = if error.is_eof() { "JSON that is cut off" } else { "JSON of another shape than documented" };
        malformed(&format!("{what}, at byte {} of line {} in {} bytes", error.column(), error.line(), text.len()))
    })
}

/// Where the records stand in the body.
///
/// `records` must have been parsed from this answer's body.
pub(super) fn places(answer: &Answer, records: &[&RawValue]) -> Result<Vec<Range<usize>>, Refusal> {
    let start = answer.body.as_ptr() as usize;
    let place = |record: &&RawValue| {
        let text = record.get();
        let from = (text.as_ptr() as usize).checked_sub(start)?;
        let to = from + text.len();
        (text.starts_with('{') && to <= answer.body.len()).then_some(from..to)
    };
    let places: Option<Vec<_>> = records.iter().map(place).collect();
    places.ok_or_else(|| Refusal::malformed(answer, "a record is not a JSON object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::source::Trouble;

    #[derive(Debug, Deserialize)]
    struct Items<'a> {
        #[serde(borrow, default)]
        items: Vec<&'a RawValue>,
    }

    #[test]
    fn records_are_found_where_they_stand() {
        let answer = Answer::scripted(200, &[], " {\"a\": [1],\n \"items\" : [ {\"é\":1} ,{\"b\":{\"c\":[]}}\n] }\n");
        let envelope: Items<'_> = parse(&answer).unwrap();
        let places = places(&answer, &envelope.items).unwrap();
        let texts: Vec<_> =
            places.iter().map(|place| std::str::from_utf8(&answer.body[place.clone()]).unwrap()).collect();
        assert_eq!(texts, ["{\"é\":1}", "{\"b\":{\"c\":[]}}"]);
    }

    #[test]
    fn what_is_not_the_promised_json_is_malformed_and_not_quoted() {
        for (body, what) in [
            (&b""[..], "an empty answer"),
            (b" \r\n", "an empty answer"),
            (b"<html>secret</html>", "not JSON"),
            (b"{\"items\":[{\"name\":\"secret", "cut off"),
            (b"{\"items\":\"secret\"}", "another shape"),
            (b"{\"items\":[\"\xff\"]}", "not UTF-8"),
        ] {
            let refusal = parse::<Items<'_>>(&Answer::scripted(200, &[], body)).unwrap_err();
            assert_eq!(refusal.trouble, Trouble::Malformed);
            assert!(refusal.message.contains(what) && !refusal.message.contains("secret"), "{}", refusal.message);
        }
        let answer = Answer::scripted(200, &[], "{\"items\":[null]}");
        let envelope: Items<'_> = parse(&answer).unwrap();
        assert_eq!(places(&answer, &envelope.items).unwrap_err().trouble, Trouble::Malformed);
    }
}
