//! Mutations of JSON documents that leave them documents.

use serde_json::{json, Map, Value};

/// A small generator (xorshift) for choices; the bytes come from the fuzzer.
pub struct Choices(u64);

impl Choices {
    /// From the mutator's seed.
    pub fn new(seed: u32) -> Self {
        Choices(u64::from(seed) << 1 | 1)
    }

    /// A number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Changes a document in one to four places.
pub fn mutate(document: &mut Value, words: &[&str], choices: &mut Choices) {
    for _ in 0..1 + choices.below(4) {
        let count = count(document);
        let mut at = choices.below(count);
        change(document, &mut at, words, choices);
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the `at`-th value in order of a walk; true when that was done.
fn change(value: &mut Value, at: &mut usize, words: &[&str], choices: &mut Choices) -> bool {
    if *at == 0 {
        change_here(value, words, choices);
        return true;
    }
    *at -= 1;
    match value {
        Value::Array(items) => items
            .iter_mut()
            .any(|item| change(item, at, words, choices)),
        Value::Object(fields) => fields
            .values_mut()
            .any(|field| change(field, at, words, choices)),
        _ => false,
    }
}

fn change_here(value: &mut Value, words: &[&str], choices: &mut Choices) {
    match value {
        Value::Array(items) => change_list(items, words, choices),
        Value::Object(fields) => change_fields(fields, words, choices),
        Value::Number(number) if choices.below(3) > 0 => {
            let near = match (number.as_i64(), number.as_f64()) {
                (Some(n), _) => json!(n.wrapping_add(choices.below(5) as i64 - 2)),
                (None, Some(x)) if choices.below(2) == 0 => json!(x * 2.0),
                (None, Some(x)) => json!(-x),
                (None, None) => Value::Null,
            };
            *value = near;
        }
        other => *other = leaf(words, choices),
    }
}

fn change_list(items: &mut Vec<Value>, words: &[&str], choices: &mut Choices) {
    if items.is_empty() {
        return items.push(leaf(words, choices));
    }
    let (a, b) = (choices.below(items.len()), choices.below(items.len()));
    match choices.below(6) {
        0 => drop(items.remove(a)),
        1 => items.insert(b, items[a].clone()),
        2 => items.swap(a, b),
        3 => items.truncate(a),
        4 => items.extend(items.clone().into_iter().take(64)),
        _ => items[a] = leaf(words, choices),
    }
}

fn change_fields(fields: &mut Map<String, Value>, words: &[&str], choices: &mut Choices) {
    let keys: Vec<String> = fields.keys().cloned().collect();
    let word = words[choices.below(words.len())];
    if keys.is_empty() {
        fields.insert(word.into(), leaf(words, choices));
        return;
    }
    let key = &keys[choices.below(keys.len())];
    let value = fields[key].clone();
    match choices.below(5) {
        0 => drop(fields.remove(key)),
        1 => drop(fields.insert(word.into(), value)),
        2 => {
            fields.remove(key);
            fields.insert(word.into(), value);
        }
        3 => drop(fields.insert(key.clone(), leaf(words, choices))),
        _ => {
            let other = &keys[choices.below(keys.len())];
            let other = fields[other].clone();
            fields.insert(key.clone(), other);
        }
    }
}

fn leaf(words: &[&str], choices: &mut Choices) -> Value {
    match choices.below(24) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!([]),
        4 => json!({}),
        5 => json!(0),
        6 => json!(1),
        7 => json!(-1),
        8 => json!(i64::MAX),
        9 => json!(i64::MIN),
        10 => json!(u64::MAX),
        11 => json!(1u64 << 53),
        12 => json!((1u64 << 53) + 1),
        13 => json!(1u64 << 32),
        14 => json!(65_535),
        15 => json!(0.5),
        16 => json!(-0.0),
        17 => json!(1e308),
        18 => json!(5e-324),
        19 => json!(3.5e38),
        20 => json!(""),
        21 => json!(choices.below(40)),
        _ => json!(words[choices.below(words.len())]),
    }
}
