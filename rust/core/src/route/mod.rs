//! Server or device: where the next slate is made, as a pure function of what the device knows at that moment.
//!
//! Rules are asked in this order, and the first that speaks decides:
//!
//! | rule | speaks when | for |
//! |---|---|---|
//! | `reach` | one of the two cannot answer: no network; no capsule, or an expired one | the other; the device where neither can |
//! | `late` | one of the two takes longer than the budget | the other; the quicker where both do |
//! | `battery` | not charging, and below `battery_low` with more work than `light_ms`, or below `battery_critical` | the server |
//! | `metered` | the connection is paid for by the byte, and the plan spares those | the device |
//! | `slow` | a round trip takes longer than `slow_ms` | the device |
//! | `stale` | the capsule has lived through `fresh_share` of its life, and the catalog changed after it was made, as far as anyone knows | the server |
//! | `preference` | always | what the plan prefers |
//!
//! Each rule but the last speaks for one side, or compares two times, so the whole is monotone: less battery, a
//! charger taken away, more work or an older capsule never move a decision to the device; a slower, a worse or a metered
//! connection never moves one to the server. A first rule that speaks is enough for that, as long as
//! no rule turns round; a weighted sum would be monotone too, but would not say why.
//!
//! The decision is a document: inputs, plan, rule and reasons. It follows from its inputs, so [`Route::parse`] refuses one
//! that does not, and a decision record may carry it.

mod plan;

pub use plan::{RoutePlan, RoutePlanSpec, PLAN_SCHEMA};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The schema name of a decision.
pub const SCHEMA: &str = "perso_core.route/1";

/// Where a slate is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// By the server, over the network.
    Server,
    /// By the device, from what it holds.
    Device,
}

impl Place {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Place::Server => "server",
            Place::Device => "device",
        }
    }
}

/// What the device is connected by, from the worst on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Nothing.
    Offline,
    /// A mobile network.
    Cellular,
    /// A wireless network of the place.
    Wifi,
    /// A cable.
    Wired,
}

/// What the device knows at the moment of the decision. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Situation {
    /// Charge, from 0 to 1; `None` for unknown, or no battery: it then speaks for nothing.
    pub battery: Option<f64>,
    /// Whether it is being charged.
    pub charging: bool,
    /// What it is connected by; `None` for something unknown, which counts as a mobile network.
    pub network: Option<Network>,
    /// Milliseconds of a round trip to the server; `None` for what the plan assumes of the network.
    pub round_trip_ms: Option<f64>,
    /// Whether the connection is paid for by the byte.
    pub metered: bool,
    /// Seconds since the capsule was made; `None` without a capsule.
    pub capsule_age_s: Option<f64>,
    /// Seconds that it lives.
    pub capsule_ttl_s: Option<f64>,
    /// Seconds since the server's catalog last changed; `None` for unknown.
    pub catalog_age_s: Option<f64>,
    /// Milliseconds that the slate may take; `None` for no limit.
    pub budget_ms: Option<f64>,
    /// Milliseconds that ranking on the device is estimated to take; `None` for unknown, which is never late and never
    /// light.
    pub device_ms: Option<f64>,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// One of the two cannot answer.
    Reach,
    /// One of the two answers too late.
    Late,
    /// The battery is to be spared.
    Battery,
    /// The connection is to be spared.
    Metered,
    /// The connection is slow.
    Slow,
    /// The capsule is old.
    Stale,
    /// Nothing else spoke.
    Preference,
}

impl Rule {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Reach => "reach",
            Rule::Late => "late",
            Rule::Battery => "battery",
            Rule::Metered => "metered",
            Rule::Slow => "slow",
            Rule::Stale => "stale",
            Rule::Preference => "preference",
        }
    }
}

/// A decision, with everything that it follows from. One that does not is no document of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Recorded")]
pub struct Route {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Where the slate is to be made.
    #[serde(rename = "where")]
    pub place: Place,
    /// Which rule decided.
    pub rule: Rule,
    /// What every rule said that spoke, in their order: the first decided.
    pub reasons: Vec<String>,
    /// What was known.
    pub inputs: Situation,
    /// The thresholds.
    pub plan: RoutePlanSpec,
}

/// The same as it is written, whether it follows or not: what a record holds is kept, because rules may change with a version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    schema: String,
    #[serde(rename = "where")]
    place: Place,
    rule: Rule,
    reasons: Vec<String>,
    inputs: Situation,
    plan: RoutePlanSpec,
}

impl Recorded {
    /// As it is.
    pub(crate) fn unchecked(self) -> Route {
        Route {
            schema: self.schema,
            place: self.place,
            rule: self.rule,
            reasons: self.reasons,
            inputs: self.inputs,
            plan: self.plan,
        }
    }
}

impl TryFrom<Recorded> for Route {
    type Error = Error;

    fn try_from(recorded: Recorded) -> Result<Route> {
        let route = recorded.unchecked();
        let again = Route::decide(route.inputs.clone(), &RoutePlan::new(route.plan.clone())?)?;
        if again == route {
            return Ok(route);
        }
        Err(Error::invalid(
            "route",
            format!(
                "what follows from its inputs, {} by rule {}, with the same reasons",
                again.place.as_str(),
                again.rule.as_str()
            ),
            format!("{} by rule {}", route.place.as_str(), route.rule.as_str()),
        ))
    }
}

/// The canonical form of a document writes -0 as 0, and what is read again has to give the same reasons.
fn without_negative_zeros<'a>(numbers: impl IntoIterator<Item = &'a mut f64>) {
    for number in numbers {
        // The sum of -0 and 0 is 0; every other number stays as it is.
        *number += 0.0;
    }
}

/// What a rule says.
struct Said(Place, Rule, String);

impl Situation {
    /// Refuses numbers that mean nothing.
    pub fn validate(&self) -> Result<()> {
        if let Some(battery) = self.battery.filter(|b| !(0.0..=1.0).contains(b)) {
            return Err(Error::invalid(
                "battery",
                "a number from 0 to 1, or None",
                battery,
            ));
        }
        let times = [
            ("round_trip_ms", self.round_trip_ms),
            ("capsule_age_s", self.capsule_age_s),
            ("capsule_ttl_s", self.capsule_ttl_s),
            ("catalog_age_s", self.catalog_age_s),
            ("budget_ms", self.budget_ms),
            ("device_ms", self.device_ms),
        ];
        for (name, time) in times {
            if let Some(bad) = time.filter(|time| !(0.0..=f64::MAX).contains(time)) {
                let expected = "a finite number of at least 0, or None";
                return Err(Error::invalid(name, expected, bad));
            }
        }
        match (self.capsule_age_s, self.capsule_ttl_s) {
            (Some(age), None) => Err(Error::invalid(
                "capsule_ttl_s",
                format!("how long the capsule of age {age} lives"),
                "None",
            )),
            (None, Some(ttl)) => Err(Error::invalid(
                "capsule_ttl_s",
                "None without the age of a capsule",
                ttl,
            )),
            _ => Ok(()),
        }
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut f64> {
        [
            &mut self.battery,
            &mut self.round_trip_ms,
            &mut self.capsule_age_s,
            &mut self.capsule_ttl_s,
            &mut self.catalog_age_s,
            &mut self.budget_ms,
            &mut self.device_ms,
        ]
        .into_iter()
        .flatten()
    }

    /// Why the device cannot answer.
    fn device_cannot(&self) -> Option<String> {
        match (self.capsule_age_s, self.capsule_ttl_s) {
            (Some(age), Some(ttl)) if age < ttl => None,
            (Some(age), Some(ttl)) => Some(format!(
                "the capsule has expired: it is {age} s old, and lives for {ttl} s"
            )),
            _ => Some("there is no capsule".into()),
        }
    }

    fn reach(&self) -> Option<Said> {
        let offline = self.network == Some(Network::Offline);
        let said = |place, text: String| Some(Said(place, Rule::Reach, text));
        match (offline, self.device_cannot()) {
            (false, None) => None,
            (true, None) => said(Place::Device, "there is no network".into()),
            (false, Some(why)) => said(Place::Server, why),
            (true, Some(why)) => said(
                Place::Device,
                format!("neither can answer: there is no network, and {why}"),
            ),
        }
    }

    /// Milliseconds until the server has answered.
    fn server_ms(&self, plan: &RoutePlanSpec) -> f64 {
        let assumed = match self.network {
            Some(Network::Wired) => plan.wired_ms,
            Some(Network::Wifi) => plan.wifi_ms,
            _ => plan.cellular_ms,
        };
        self.round_trip_ms.unwrap_or(assumed) + plan.server_ms
    }

    fn late(&self, plan: &RoutePlanSpec) -> Option<Said> {
        let budget = self.budget_ms?;
        let server = self.server_ms(plan);
        // An unknown time is never late.
        let device = self.device_ms.unwrap_or(0.0);
        let (place, text) = match (server > budget, device > budget) {
            (false, false) => return None,
            (true, false) => (
                Place::Device,
                format!("the server takes {server} ms of {budget}"),
            ),
            (false, true) => (
                Place::Server,
                format!("the device takes {device} ms of {budget}"),
            ),
            (true, true) => {
                let quicker = if device <= server {
                    Place::Device
                } else {
                    Place::Server
                };
                let text = format!(
                    "both are late, and this is the quicker: the server takes {server} ms of {budget}, the device {device}"
                );
                (quicker, text)
            }
        };
        Some(Said(place, Rule::Late, text))
    }

    fn battery(&self, plan: &RoutePlanSpec) -> Option<Said> {
        let battery = self.battery.filter(|_| !self.charging)?;
        let text = if battery < plan.battery_critical {
            let critical = plan.battery_critical;
            format!("the battery is at {battery}, below {critical}, and not charging")
        } else if battery < plan.battery_low {
            let light = self.device_ms.is_some_and(|ms| ms <= plan.light_ms);
            if light {
                return None;
            }
            let (low, most) = (plan.battery_low, plan.light_ms);
            let work = match self.device_ms {
                Some(ms) => format!("ranking takes {ms} ms, more than {most}"),
                None => "how long ranking takes is unknown".into(),
            };
            format!("the battery is at {battery}, below {low}, and not charging; {work}")
        } else {
            return None;
        };
        Some(Said(Place::Server, Rule::Battery, text))
    }

    fn metered(&self, plan: &RoutePlanSpec) -> Option<Said> {
        let spared = self.metered && plan.spare_metered;
        spared.then(|| {
            let text = "the connection is metered".into();
            Said(Place::Device, Rule::Metered, text)
        })
    }

    fn slow(&self, plan: &RoutePlanSpec) -> Option<Said> {
        let (trip, most) = (self.round_trip_ms?, plan.slow_ms);
        (trip > most).then(|| {
            let text = format!("a round trip takes {trip} ms, more than {most}");
            Said(Place::Device, Rule::Slow, text)
        })
    }

    fn stale(&self, plan: &RoutePlanSpec) -> Option<Said> {
        let (age, ttl) = (self.capsule_age_s?, self.capsule_ttl_s?);
        // Made after the last change, it has what the server has.
        let current = self.catalog_age_s.is_some_and(|change| age <= change);
        let share = plan.fresh_share;
        if current || age < share * ttl {
            return None;
        }
        let since = match self.catalog_age_s {
            Some(change) => format!("the catalog changed {change} s ago"),
            None => "whether the catalog has changed is unknown".into(),
        };
        let text = format!("the capsule is {age} s old, past {share} of {ttl} s, and {since}");
        Some(Said(Place::Server, Rule::Stale, text))
    }
}

impl Route {
    /// Decides. Every valid situation has an answer.
    pub fn decide(mut inputs: Situation, plan: &RoutePlan) -> Result<Route> {
        inputs.validate()?;
        without_negative_zeros(inputs.numbers());
        Ok(Self::of(inputs, plan.spec()))
    }

    fn of(inputs: Situation, plan: &RoutePlanSpec) -> Route {
        let (place, rule) = (plan.prefer, Rule::Preference);
        let last = Said(place, rule, "nothing else decides".into());
        let said: Vec<Said> = [
            inputs.reach(),
            inputs.late(plan),
            inputs.battery(plan),
            inputs.metered(plan),
            inputs.slow(plan),
            inputs.stale(plan),
            Some(last),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (place, rule) = said.first().map_or((place, rule), |s| (s.0, s.1));
        let reasons = said
            .iter()
            .filter(|said| said.1 == rule || said.1 != Rule::Preference)
            .map(|Said(place, rule, text)| {
                format!("{} ({}): {text}", place.as_str(), rule.as_str())
            })
            .collect();
        Route {
            schema: SCHEMA.into(),
            place,
            rule,
            reasons,
            inputs,
            plan: plan.clone(),
        }
    }

    /// Reads a decision, and refuses one that does not follow from its inputs and plan.
    pub fn parse(json: &str) -> Result<Route> {
        let recorded: Recorded = serde_json::from_str(json)
            .map_err(|error| Error::invalid("route", format!("a {SCHEMA} document"), error))?;
        recorded.try_into()
    }

    /// The document in the canonical form of RFC 8785.
    pub fn to_json(&self) -> Result<String> {
        serde_json_canonicalizer::to_string(self)
            .map_err(|error| Error::invalid("route", "a document that JSON can hold", error))
    }
}

/// What [`decide_json`] reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    inputs: Situation,
    #[serde(default)]
    plan: Option<RoutePlanSpec>,
}

/// Decides for callers that speak JSON: `{"inputs": {...}, "plan": {...}}`, of which the plan and every input may be left out,
/// to a [`Route`]'s document.
pub fn decide_json(json: &str) -> Result<String> {
    let question: Question = serde_json::from_str(json).map_err(|error| {
        let expected = "a JSON object with inputs and, where wanted, a plan";
        Error::invalid("situation", expected, error)
    })?;
    let plan = RoutePlan::new(question.plan.unwrap_or_default())?;
    Route::decide(question.inputs, &plan)?.to_json()
}

#[cfg(test)]
mod tests;
