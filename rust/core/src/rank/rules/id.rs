//! Ids in a policy's document.
//!
//! The numbers of canonical JSON (RFC 8785) are doubles. An integer beyond 2^53, such as a snowflake id, is
//! written as `{"int": "9007199254740993"}`: so no two ids become one, neither in the text nor in the hash.

use serde::{Deserialize, Serialize};

use crate::ids::Id;
use crate::rank::policy::MAX_INTEGER;

/// An id as a policy holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RuleId(pub Id);

/// How it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Int(i64),
    Str(Box<str>),
    Large(Large),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Large {
    int: Box<str>,
}

fn is_large(id: i64) -> bool {
    id.unsigned_abs() > MAX_INTEGER as u64
}

impl From<RuleId> for Written {
    fn from(id: RuleId) -> Self {
        match id.0 {
            Id::Int(id) if is_large(id) => Written::Large(Large {
                int: id.to_string().into(),
            }),
            Id::Int(id) => Written::Int(id),
            Id::Str(id) => Written::Str(id),
        }
    }
}

impl TryFrom<Written> for RuleId {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let wrong = |id: &dyn std::fmt::Display| {
            Err(format!(
                "an integer id beyond 2^53 is {{\"int\": \"its digits\"}}, and no other is: {id}"
            ))
        };
        match written {
            Written::Int(id) if is_large(id) => wrong(&id),
            Written::Int(id) => Ok(RuleId(Id::Int(id))),
            Written::Str(id) => Ok(RuleId(Id::Str(id))),
            Written::Large(Large { int }) => match int.parse::<i64>() {
                Ok(id) if is_large(id) && *id.to_string() == *int => Ok(RuleId(Id::Int(id))),
                _ => wrong(&format!("{{\"int\": {int:?}}}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_so_that_a_double_can_hold_them() {
        for (id, text) in [
            (Id::Int(7), "7"),
            (Id::Int(-(1 << 53)), "-9007199254740992"),
            (Id::Int((1 << 53) + 1), r#"{"int":"9007199254740993"}"#),
            (Id::Int(i64::MIN), r#"{"int":"-9223372036854775808"}"#),
            (Id::Str("7".into()), r#""7""#),
        ] {
            assert_eq!(serde_json::to_string(&RuleId(id.clone())).unwrap(), text);
            assert_eq!(serde_json::from_str::<RuleId>(text).unwrap(), RuleId(id));
        }
        for wrong in [
            "9007199254740993",
            r#"{"int":"7"}"#,
            r#"{"int":"+9007199254740993"}"#,
            r#"{"int":"99999999999999999999"}"#,
            r#"{"str":"a"}"#,
            "1.5",
            "null",
        ] {
            assert!(serde_json::from_str::<RuleId>(wrong).is_err(), "{wrong}");
        }
    }
}
