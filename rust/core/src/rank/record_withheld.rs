//! A record without personal input: what a device may hand over.
//!
//! To leave out the user's vectors is not enough. Their hash tells whoever has a guess whether it is right, and a server
//! has good guesses: the vector that it sent itself, or what one tap on one of a few hundred items makes of it. And the
//! scores of a pool are linear in the vector: as many of them as it has components, with the items' vectors, give it
//! back. So neither vectors nor hashes are in it, no scores, terms, prices or numbers of signals, no target, and not the pool,
//! which would say which candidates were excluded because they had been seen.
//!
//! What stays is the decision: which items were shown, which would have been without exploration, with which
//! probability, out of how many; and what it was made with: policy, capsule, seed, moment, counts. That is what off-policy
//! evaluation needs, and it lets whoever has the personal input make the slate again.

use serde_json::{Map, Value};

/// What `personal` says of such a record.
pub(super) const WITHHELD: &str = "withheld";

/// Takes it out of a record.
pub(super) fn withhold(record: &mut Value) {
    let Value::Object(fields) = record else {
        return;
    };
    for name in ["user", "user_sha256"] {
        fields.insert(name.into(), Value::Null);
    }
    for name in ["pool", "terms"] {
        fields.insert(name.into(), Value::Array(Vec::new()));
    }
    fields.insert("signals".into(), Value::Object(Map::new()));
    fields.remove("target");
    fields.remove("prices");
    fields.insert("personal".into(), WITHHELD.into());
    let choices = fields.get_mut("choices").and_then(Value::as_array_mut);
    for choice in choices.into_iter().flatten() {
        if let Value::Object(choice) = choice {
            choice.remove("score");
            choice.remove("terms");
        }
    }
}
