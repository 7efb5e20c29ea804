//! The thresholds of a decision: a frozen document with a hash, as a policy is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::rank::policy::hex;

use super::Place;

/// The document's schema name.
pub const PLAN_SCHEMA: &str = "perso_core.route_plan/1";

/// A validated plan.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    spec: RoutePlanSpec,
    canonical: String,
    hash: String,
}

/// The document itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutePlanSpec {
    /// Always [`PLAN_SCHEMA`].
    pub schema: String,
    /// Below this charge the device does light work only.
    pub battery_low: f64,
    /// Below this one it does none.
    pub battery_critical: f64,
    /// Milliseconds of ranking that count as light work.
    pub light_ms: f64,
    /// Milliseconds that the server takes beside the round trip.
    pub server_ms: f64,
    /// Milliseconds of a round trip that were not measured: over a mobile network, or an unknown one.
    pub cellular_ms: f64,
    /// The same over a wireless one.
    pub wifi_ms: f64,
    /// The same over a cable.
    pub wired_ms: f64,
    /// A measured round trip of more milliseconds than this is not worth its wait.
    pub slow_ms: f64,
    /// Whether connections that are paid for by the byte are spared.
    pub spare_metered: bool,
    /// Of a capsule's life, the share after which it counts as old where the catalog has changed.
    pub fresh_share: f64,
    /// Where a slate is made when no rule speaks.
    pub prefer: Place,
}

impl Default for RoutePlanSpec {
    fn default() -> Self {
        RoutePlanSpec {
            schema: PLAN_SCHEMA.into(),
            battery_low: 0.2,
            battery_critical: 0.05,
            light_ms: 1.0,
            server_ms: 10.0,
            cellular_ms: 150.0,
            wifi_ms: 50.0,
            wired_ms: 30.0,
            slow_ms: 500.0,
            spare_metered: true,
            fresh_share: 0.5,
            prefer: Place::Device,
        }
    }
}

impl RoutePlanSpec {
    fn numbers(&mut self) -> [&mut f64; 9] {
        [
            &mut self.battery_low,
            &mut self.battery_critical,
            &mut self.light_ms,
            &mut self.server_ms,
            &mut self.cellular_ms,
            &mut self.wifi_ms,
            &mut self.wired_ms,
            &mut self.slow_ms,
            &mut self.fresh_share,
        ]
    }
}

impl RoutePlan {
    /// Reads and validates a plan document; what it leaves out has its default.
    pub fn parse(json: &str) -> Result<Self> {
        let spec: RoutePlanSpec = serde_json::from_str(json)
            .map_err(|error| Error::invalid("plan", format!("a {PLAN_SCHEMA} document"), error))?;
        Self::new(spec)
    }

    /// Validates a plan.
    pub fn new(mut spec: RoutePlanSpec) -> Result<Self> {
        validate(&spec)?;
        super::without_negative_zeros(spec.numbers());
        let canonical = serde_json_canonicalizer::to_string(&spec)
            .map_err(|error| Error::invalid("plan", "a document that JSON can hold", error))?;
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        Ok(RoutePlan {
            spec,
            canonical,
            hash,
        })
    }

    /// The document.
    pub fn spec(&self) -> &RoutePlanSpec {
        &self.spec
    }

    /// The document in the canonical form of RFC 8785, with every default written out.
    pub fn canonical_json(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the canonical form, in hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

fn validate(spec: &RoutePlanSpec) -> Result<()> {
    if spec.schema != PLAN_SCHEMA {
        let expected = format!("schema {PLAN_SCHEMA:?}");
        return Err(Error::invalid(
            "plan",
            expected,
            format!("{:?}", spec.schema),
        ));
    }
    let shares = [
        ("battery_low", spec.battery_low),
        ("battery_critical", spec.battery_critical),
        ("fresh_share", spec.fresh_share),
    ];
    for (name, share) in shares {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid(name, "a number from 0 to 1", share));
        }
    }
    let times = [
        ("light_ms", spec.light_ms),
        ("server_ms", spec.server_ms),
        ("cellular_ms", spec.cellular_ms),
        ("wifi_ms", spec.wifi_ms),
        ("wired_ms", spec.wired_ms),
        ("slow_ms", spec.slow_ms),
    ];
    for (name, time) in times {
        if !(0.0..=f64::MAX).contains(&time) {
            return Err(Error::invalid(name, "a finite number of at least 0", time));
        }
    }
    // A better network must not be assumed to be slower, or it would speak for the device.
    let at_most = [
        (
            "battery_critical",
            spec.battery_critical,
            "battery_low",
            spec.battery_low,
        ),
        ("wifi_ms", spec.wifi_ms, "cellular_ms", spec.cellular_ms),
        ("wired_ms", spec.wired_ms, "wifi_ms", spec.wifi_ms),
    ];
    for (name, number, other, most) in at_most {
        if number > most {
            return Err(Error::invalid(
                name,
                format!("at most {other} = {most}"),
                number,
            ));
        }
    }
    Ok(())
}
