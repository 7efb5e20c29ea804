//! Parts of a request that JSON may write in more than one way. A name that comes twice in an object is kept twice, for
//! the core to refuse.

use std::fmt;
use std::marker::PhantomData;

use perso_core::filter::Expr;
use perso_core::ids::Ids;
use perso_core::rank::{Combine, Interests, Taste, User};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// `{name: value}` in its order.
pub(super) struct Each<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Named<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
            type Value = Each<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a value for each name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Each<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Each(all))
            }
        }
        from.deserialize_map(Named(PhantomData))
    }
}

/// What a user is: by space, or a vector for the space that the policy means.
pub(super) enum Tastes {
    Bare(Vec<f32>),
    Spaces(User),
}

impl<'de> Deserialize<'de> for Tastes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Tastes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a list of numbers, or an object with one, or with interests, for each space",
                )
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Tastes, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Tastes::Bare)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tastes, A::Error> {
                let mut user = User::new();
                while let Some((space, OneTaste(taste))) = map.next_entry::<String, _>()? {
                    user.push((space, taste));
                }
                Ok(Tastes::Spaces(user))
            }
        }
        from.deserialize_any(Either)
    }
}

/// A vector, or interests as records have them.
struct OneTaste(Taste);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    vectors: Vec<Vec<f32>>,
    #[serde(default)]
    weights: Option<Vec<f64>>,
    #[serde(default)]
    negative: Vec<Vec<f32>>,
    #[serde(default)]
    negative_weight: Option<f64>,
    #[serde(default)]
    combine: Option<String>,
}

impl<'de> Deserialize<'de> for OneTaste {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneTaste;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers, or interests")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneTaste, A::Error> {
                let vector = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(OneTaste(Taste::Vector(vector)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneTaste, A::Error> {
                let several = Several::deserialize(MapAccessDeserializer::new(map))?;
                let combine = match several.combine.as_deref() {
                    None => Combine::Max,
                    Some(name) => Combine::parse(name).ok_or_else(|| {
                        A::Error::custom(format!(
                            "combine: expected \"max\" or \"mean\", got {name:?}"
                        ))
                    })?,
                };
                let ones = || vec![1.0; several.vectors.len()];
                Ok(OneTaste(Taste::Interests(Box::new(Interests {
                    weights: several.weights.unwrap_or_else(ones),
                    vectors: several.vectors,
                    negative: several.negative,
                    negative_weight: several.negative_weight.unwrap_or(1.0),
                    combine,
                }))))
            }
        }
        from.deserialize_any(Either)
    }
}

/// The numbers of a signal: one for each item in the order of the ids, null for a missing one; or for some ids.
pub(super) enum Numbers {
    All(Vec<Option<f64>>),
    Some { ids: IdList, values: Vec<f64> },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Few {
    ids: IdList,
    values: Vec<f64>,
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Numbers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers or null, or an object with ids and values")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Numbers, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Numbers::All)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Numbers, A::Error> {
                let Few { ids, values } = Few::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Numbers::Some { ids, values })
            }
        }
        from.deserialize_any(Either)
    }
}

/// An outside list: ids, best first, or ids with scores.
pub(super) enum Listing {
    Order(IdList),
    Scored { ids: IdList, scores: Vec<f64> },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Scored {
    ids: IdList,
    scores: Vec<f64>,
}

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Listing;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ids, or an object with ids and scores")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Listing, A::Error> {
                IdList::deserialize(SeqAccessDeserializer::new(list)).map(Listing::Order)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Listing, A::Error> {
                let Scored { ids, scores } = Scored::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Listing::Scored { ids, scores })
            }
        }
        from.deserialize_any(Either)
    }
}

/// What may be shown.
pub(super) enum Only {
    Ids(IdList),
    Filter(Expr),
}

impl<'de> Deserialize<'de> for Only {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Only;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ids, all 64-bit integers or all texts, or a filter")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Only, A::Error> {
                IdList::deserialize(SeqAccessDeserializer::new(list)).map(Only::Ids)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Only, A::Error> {
                Expr::deserialize(MapAccessDeserializer::new(map)).map(Only::Filter)
            }
        }
        from.deserialize_any(Either)
    }
}

/// A list of integers, or a list of texts.
pub(super) struct IdList(pub(super) Ids);

impl<'de> Deserialize<'de> for IdList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = IdList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of ids, all 64-bit integers or all texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<IdList, A::Error> {
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

pub(super) enum OneId {
    Int(i64),
    Str(Box<str>),
}

impl<'de> Deserialize<'de> for OneId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = OneId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id: a 64-bit integer or a text")
            }

            fn visit_i64<E>(self, id: i64) -> Result<OneId, E> {
                Ok(OneId::Int(id))
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<OneId, E> {
                match i64::try_from(id) {
                    Ok(id) => Ok(OneId::Int(id)),
                    Err(_) => Err(E::custom(format!("id {id} is more than 2^63 - 1"))),
                }
            }

            fn visit_str<E>(self, id: &str) -> Result<OneId, E> {
                Ok(OneId::Str(id.into()))
            }
        }
        from.deserialize_any(One)
    }
}
