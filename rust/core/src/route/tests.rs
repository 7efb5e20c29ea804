//! A table written by hand, and the promises over a grid of situations.

use super::*;

/// An online device with a fresh capsule.
fn online() -> Situation {
    Situation {
        battery: Some(0.8),
        network: Some(Network::Wifi),
        capsule_age_s: Some(60.0),
        capsule_ttl_s: Some(3600.0),
        ..Situation::default()
    }
}

fn decided(inputs: Situation) -> (Place, Rule) {
    let plan = RoutePlan::new(RoutePlanSpec::default()).unwrap();
    let route = Route::decide(inputs, &plan).unwrap();
    (route.place, route.rule)
}

#[test]
fn the_table() {
    use Place::{Device, Server};
    type Change = fn(&mut Situation);
    #[rustfmt::skip]
    let table: [(&str, Change, Place, Rule); 24] = [
        ("all is well", |_| {}, Device, Rule::Preference),
        ("nothing is known", |s| *s = Situation::default(), Server, Rule::Reach),
        ("no network", |s| s.network = Some(Network::Offline), Device, Rule::Reach),
        ("no network, an old round trip", |s| { s.network = Some(Network::Offline); s.round_trip_ms = Some(5.0) }, Device, Rule::Reach),
        ("no capsule", |s| { s.capsule_age_s = None; s.capsule_ttl_s = None }, Server, Rule::Reach),
        ("expired to the second", |s| s.capsule_age_s = Some(3600.0), Server, Rule::Reach),
        ("expired and offline", |s| { s.capsule_age_s = Some(3600.0); s.network = Some(Network::Offline) }, Device, Rule::Reach),
        ("the server is late", |s| { s.budget_ms = Some(59.0); s.capsule_age_s = Some(3000.0) }, Device, Rule::Late),
        ("the server is just in time", |s| { s.budget_ms = Some(60.0); s.capsule_age_s = Some(3000.0) }, Server, Rule::Stale),
        ("an unknown network is slow", |s| { s.network = None; s.budget_ms = Some(100.0) }, Device, Rule::Late),
        ("the device is late", |s| { s.budget_ms = Some(100.0); s.device_ms = Some(101.0) }, Server, Rule::Late),
        ("both are late", |s| { s.budget_ms = Some(1.0); s.device_ms = Some(60.0) }, Device, Rule::Late),
        ("both are late, the server less so", |s| { s.budget_ms = Some(1.0); s.device_ms = Some(60.5) }, Server, Rule::Late),
        ("low, light work", |s| { s.battery = Some(0.1); s.device_ms = Some(1.0) }, Device, Rule::Preference),
        ("low, heavy work", |s| { s.battery = Some(0.1); s.device_ms = Some(1.1) }, Server, Rule::Battery),
        ("low, unknown work", |s| s.battery = Some(0.1), Server, Rule::Battery),
        ("low, charging", |s| { s.battery = Some(0.1); s.charging = true }, Device, Rule::Preference),
        ("critical, light work", |s| { s.battery = Some(0.04); s.device_ms = Some(0.1) }, Server, Rule::Battery),
        ("critical, metered", |s| { s.battery = Some(0.04); s.metered = true }, Server, Rule::Battery),
        ("at the threshold", |s| s.battery = Some(0.2), Device, Rule::Preference),
        ("old, metered", |s| { s.capsule_age_s = Some(3000.0); s.metered = true }, Device, Rule::Metered),
        ("old, and far", |s| { s.capsule_age_s = Some(3000.0); s.round_trip_ms = Some(501.0) }, Device, Rule::Slow),
        ("old", |s| s.capsule_age_s = Some(1800.0), Server, Rule::Stale),
        ("old, and nothing has changed", |s| { s.capsule_age_s = Some(3000.0); s.catalog_age_s = Some(3000.0) }, Device, Rule::Preference),
    ];
    for (what, change, place, rule) in table {
        let mut situation = online();
        change(&mut situation);
        assert_eq!(decided(situation), (place, rule), "{what}");
    }
}

/// Every combination of some values, those at thresholds among them.
fn grid(mut each: impl FnMut(Situation)) {
    let batteries = [
        None,
        Some(0.0),
        Some(0.049),
        Some(0.05),
        Some(0.19),
        Some(0.2),
        Some(1.0),
    ];
    let networks = [
        None,
        Some(Network::Offline),
        Some(Network::Cellular),
        Some(Network::Wired),
    ];
    let capsules = [
        None,
        Some(0.0),
        Some(49.0),
        Some(50.0),
        Some(99.0),
        Some(100.0),
    ];
    let works = [None, Some(0.5), Some(1.5), Some(80.0), Some(400.0)];
    for battery in batteries {
        for network in networks {
            for capsule_age_s in capsules {
                for device_ms in works {
                    for round_trip_ms in [None, Some(1.0), Some(60.0), Some(501.0)] {
                        for budget_ms in [None, Some(0.6), Some(70.0), Some(200.0)] {
                            for catalog_age_s in [None, Some(10.0), Some(60.0)] {
                                for flags in 0..4 {
                                    each(Situation {
                                        battery,
                                        charging: flags & 1 == 1,
                                        network,
                                        round_trip_ms,
                                        metered: flags & 2 == 2,
                                        capsule_age_s,
                                        capsule_ttl_s: capsule_age_s.map(|_| 100.0),
                                        catalog_age_s,
                                        budget_ms,
                                        device_ms,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// 1 for the device.
fn side(inputs: &Situation, plan: &RoutePlanSpec) -> u8 {
    u8::from(Route::of(inputs.clone(), plan).place == Place::Device)
}

#[test]
fn each_input_moves_decisions_one_way_and_every_situation_has_one() {
    let server = RoutePlanSpec {
        prefer: Place::Server,
        ..RoutePlanSpec::default()
    };
    let mut moved = [0usize; 8];
    for plan in [RoutePlanSpec::default(), server] {
        grid(|inputs| {
            assert!(inputs.validate().is_ok());
            let here = side(&inputs, &plan);
            // Each of these may move a decision towards the server only, or towards the device only.
            let mut changed = |i: usize, to_server: bool, change: &dyn Fn(&mut Situation)| {
                let mut other = inputs.clone();
                change(&mut other);
                let there = side(&other, &plan);
                moved[i] += usize::from(there != here);
                if to_server {
                    assert!(there <= here, "{inputs:?}\n{other:?}");
                } else {
                    assert!(there >= here, "{inputs:?}\n{other:?}");
                }
            };
            changed(0, true, &|s| s.battery = s.battery.map(|b| b * 0.7));
            changed(1, true, &|s| s.charging = false);
            changed(2, true, &|s| {
                s.device_ms = s.device_ms.map(|ms| ms * 2.5 + 1.0)
            });
            changed(3, true, &|s| {
                s.capsule_age_s = s.capsule_age_s.map(|age| age + 25.0)
            });
            changed(4, false, &|s| s.metered = true);
            changed(5, false, &|s| {
                s.round_trip_ms = s.round_trip_ms.map(|ms| ms * 9.0)
            });
            changed(6, false, &|s| {
                s.catalog_age_s = s.catalog_age_s.map(|age| age + 45.0)
            });
            changed(7, false, &|s| {
                s.network = match s.network {
                    Some(Network::Wired) => Some(Network::Wifi),
                    Some(Network::Wifi) | None => Some(Network::Cellular),
                    _ => Some(Network::Offline),
                }
            });
        });
    }
    // With one of the plans: staleness speaks for the server, which the second prefers anyhow.
    assert!(
        moved.iter().all(|&n| n > 0),
        "each of them matters: {moved:?}"
    );
}

#[test]
fn a_decision_is_a_document_that_follows_from_its_inputs() {
    let plan = RoutePlan::parse(r#"{"battery_low": 0.5}"#).unwrap();
    let mut count = 0;
    grid(|inputs| {
        count += 1;
        if count % 97 == 0 {
            let route = Route::decide(inputs.clone(), &plan).unwrap();
            assert_eq!(route, Route::decide(inputs, &plan).unwrap());
            assert_eq!(Route::parse(&route.to_json().unwrap()).unwrap(), route);
            let place = route.place.as_str();
            assert!(route.reasons[0].starts_with(&format!("{place} ({})", route.rule.as_str())));
            let other = Route {
                place: match route.place {
                    Place::Server => Place::Device,
                    Place::Device => Place::Server,
                },
                ..route
            };
            assert!(Route::parse(&other.to_json().unwrap()).is_err());
        }
    });
    let asked = r#"{"inputs": {"network": "offline"}}"#;
    assert!(decide_json(asked).unwrap().contains("\"where\":\"device\""));
}

#[test]
fn a_negative_zero_is_a_zero_before_a_reason_names_it() {
    let mut spec = RoutePlanSpec {
        battery_critical: -0.0,
        light_ms: -0.0,
        ..RoutePlanSpec::default()
    };
    let plan = RoutePlan::new(spec.clone()).unwrap();
    let inputs = Situation {
        battery: Some(-0.0),
        device_ms: Some(3.0),
        ..online()
    };
    let route = Route::decide(inputs, &plan).unwrap();
    assert_eq!(
        route.reasons[0],
        "server (battery): the battery is at 0, below 0.2, and not charging; ranking takes 3 ms, more than 0"
    );
    assert_eq!(Route::parse(&route.to_json().unwrap()).unwrap(), route);
    (spec.battery_critical, spec.light_ms) = (0.0, 0.0);
    assert_eq!(plan.hash(), RoutePlan::new(spec).unwrap().hash());
}

#[test]
fn what_means_nothing_is_refused_by_name() {
    for (json, name) in [
        (r#"{"inputs":{"battery":1.01}}"#, "battery"),
        (r#"{"inputs":{"device_ms":-1}}"#, "device_ms"),
        (r#"{"inputs":{"capsule_age_s":1}}"#, "capsule_ttl_s"),
        (r#"{"inputs":{"capsule_ttl_s":1}}"#, "capsule_ttl_s"),
        (r#"{"inputs":{"network":"tin cans"}}"#, "situation"),
        (r#"{"inputs":{"volume":11}}"#, "situation"),
        (r#"{"inputs":{"battery":1e999}}"#, "situation"),
        (r#"[]"#, "situation"),
        (
            r#"{"inputs":{},"plan":{"battery_critical":0.3}}"#,
            "battery_critical",
        ),
        (r#"{"inputs":{},"plan":{"wired_ms":60}}"#, "wired_ms"),
        (
            r#"{"inputs":{},"plan":{"schema":"perso_core.route_plan/2"}}"#,
            "plan",
        ),
    ] {
        let error = decide_json(json).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}: expected")), "{error}");
    }
}
