//! The JSON document of a request. Nothing in it is optional that would otherwise come from a clock or
//! a random source: the same call gives the same record.

use std::fmt;
use std::sync::Arc;

use perso_core::catalog::Catalog;
use perso_core::error::{Error, Result};
use perso_core::filter::{Expr, Filter};
use perso_core::ids::Ids;
use perso_core::rank::{Eligibility, Request, Signals, User, Where};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    k: usize,
    at: i64,
    seed: u64,
    request_id: String,
    #[serde(default)]
    user: Option<Vectors>,
    #[serde(default)]
    exclude: Option<IdList>,
    #[serde(default, rename = "where")]
    only: Option<Only>,
}

/// Reads a request to this catalog.
pub(crate) fn parse(json: &str, catalog: &Catalog) -> Result<Request> {
    let document: Document = serde_json::from_str(json).map_err(|error| {
        let expected =
            "a JSON object with k, at, seed, request_id and, where wanted, user, exclude, \
                        where";
        Error::invalid("request_json", expected, error)
    })?;
    let kept;
    let only = match document.only {
        None => Where::All,
        Some(Only::Ids(IdList(ref wanted))) => Where::Ids(wanted),
        Some(Only::Filter(expr)) => {
            expr.validate("where")?;
            kept = catalog.filter(&Filter::of(expr))?;
            Where::Rows(&kept.rows)
        }
    };
    let exclude = document.exclude.as_ref().map(|IdList(seen)| seen);
    Ok(Request {
        user: document.user.map(|Vectors(user)| user),
        k: document.k,
        eligible: Eligibility::new(catalog.id_map(), only, exclude)?,
        signals: Arc::new(Signals::new()),
        at: document.at,
        seed: document.seed,
        request_id: document.request_id,
        target: None,
        pins: Default::default(),
        allow: None,
        budget_us: None,
        route: None,
    })
}

/// `{space: [numbers]}` in its order, with a space that comes twice kept for the core to refuse.
struct Vectors(User);

impl<'de> Deserialize<'de> for Vectors {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Spaces;
        impl<'de> Visitor<'de> for Spaces {
            type Value = Vectors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a list of numbers for each space")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Vectors, A::Error> {
                let mut user = User::new();
                while let Some((space, vector)) = map.next_entry::<String, Vec<f32>>()? {
                    user.push((space, vector.into()));
                }
                Ok(Vectors(user))
            }
        }
        from.deserialize_map(Spaces)
    }
}

/// What may be shown.
enum Only {
    Ids(IdList),
    Filter(Expr),
}

impl<'de> Deserialize<'de> for Only {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Only;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ids, all 64-bit integers or all texts, or a filter")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> std::result::Result<Only, A::Error> {
                IdList::deserialize(SeqAccessDeserializer::new(list)).map(Only::Ids)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Only, A::Error> {
                Expr::deserialize(MapAccessDeserializer::new(map)).map(Only::Filter)
            }
        }
        from.deserialize_any(Either)
    }
}

/// A list of integers, or a list of texts.
struct IdList(Ids);

impl<'de> Deserialize<'de> for IdList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = IdList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ids, all 64-bit integers or all texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> std::result::Result<IdList, A::Error> {
                let mut ids = Ids::Int(Vec::new());
                while let Some(id) = list.next_element()? {
                    match (&mut ids, id) {
                        (Ids::Int(ids), OneId::Int(id)) => ids.push(id),
                        (Ids::Str(ids), OneId::Str(id)) => ids.push(id),
                        (Ids::Int(none), OneId::Str(id)) if none.is_empty() => {
                            ids = Ids::Str(vec![id]);
                        }
                        _ => {
                            return Err(A::Error::custom(
                                "a list of ids has both integers and texts",
                            ))
                        }
                    }
                }
                Ok(IdList(ids))
            }
        }
        from.deserialize_seq(List)
    }
}

enum OneId {
    Int(i64),
    Str(Box<str>),
}

impl<'de> Deserialize<'de> for OneId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = OneId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: a 64-bit integer or a text")
            }

            fn visit_i64<E>(self, id: i64) -> std::result::Result<OneId, E> {
                Ok(OneId::Int(id))
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> std::result::Result<OneId, E> {
                match i64::try_from(id) {
                    Ok(id) => Ok(OneId::Int(id)),
                    Err(_) => Err(E::custom(format!("id {id} is more than 2^63 - 1"))),
                }
            }

            fn visit_str<E>(self, id: &str) -> std::result::Result<OneId, E> {
                Ok(OneId::Str(id.into()))
            }
        }
        from.deserialize_any(One)
    }
}
