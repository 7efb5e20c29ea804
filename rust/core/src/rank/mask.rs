//! Masks of slots: what a slot must show, or must show one of.
//!
//! A mask narrows a slot's eligible set before anything is chosen, so the explorer draws within it and the
//! propensity is that of the narrowed set. There are three kinds, and they take effect in this order:
//!
//! 1. An item pinned to a slot is that slot's whole set. It is reserved from the start: kept out of every other
//!    slot, its counts taken from the caps before anything else, so that neither can make it impossible later.
//! 2. A slot pinned to a group is narrowed to the group's members.
//! 3. A minimum, at least `n` members of a group in the first `top` slots, narrows a slot when the slots that are
//!    left are no more than the members that are missing: minimum representation in a prefix, as in FA*IR (Zehlike
//!    et al., CIKM 2017) and in DetGreedy (Geyik, Ambler and Kenthapadi, KDD 2019). Reserved slots count as
//!    what they will show; slots pinned to another group count as lost. Minima whose groups share no item of the pool
//!    are planned together: when their missing members take all slots left, a slot is narrowed to their union.
//!
//! Masks of one slot intersect; one that would leave nothing is left out. What could not be done is told in
//! [`Outcome::unmet`], never passed over.

use std::collections::BTreeMap;

use crate::ids::Id;

use super::caps::Caps;
use super::pool::Retriever;
/// Items, told apart by an attribute or otherwise.
pub(crate) struct Group<'a> {
    /// For people: `genre = "news"`.
    pub(crate) text: String,
    /// Whether a row is a member.
    pub(crate) has: Box<dyn Fn(u32) -> bool + 'a>,
    /// By pool entry.
    members: Vec<bool>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(text: String, has: impl Fn(u32) -> bool + 'a) -> Self {
        Group {
            text,
            has: Box::new(has),
            members: Vec::new(),
        }
    }
}

/// An item pinned to a slot.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub(crate) slot: usize,
    pub(crate) row: u32,
    /// Its id, for people.
    pub(crate) name: String,
}

/// At least so many of a group in the first slots.
struct Minimum {
    group: usize,
    name: String,
    count: usize,
    /// As it was asked for.
    top: Option<usize>,
    /// The slots it is about: no more than there are.
    end: usize,
    shown: usize,
    price: f64,
}

/// What the masks came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What could not be done, in words.
    pub unmet: Vec<String>,
    /// What each minimum cost, by its name: over the slots that it narrowed, the score of the best choice without
    /// it less that of the best with it.
    pub prices: BTreeMap<String, f64>,
    /// By slot: why it was narrowed, if it was.
    pub why: Vec<Option<String>>,
}

/// The masks of one slate.
#[derive(Default)]
pub(crate) struct Masks<'a> {
    groups: Vec<Group<'a>>,
    /// Slots pinned to a group.
    within: BTreeMap<usize, usize>,
    minima: Vec<Minimum>,
    /// Two groups by position: whether some entry is in both.
    overlap: Vec<bool>,
    /// Pinned items, those that come first when they are in each other's way before the others.
    wanted: Vec<Fixed>,
    /// Slots with a reserved entry that is still to come.
    reserved: BTreeMap<usize, (u32, String)>,
    /// Entries whose counts the caps have taken already.
    counted: Vec<u32>,
    /// Combinations of masks that no further row can meet.
    futile: Vec<Vec<Clause>>,
    unmet: BTreeMap<usize, String>,
    why: Vec<Option<String>>,
}

/// Positions of groups, one of which an item must be in.
pub(crate) type Clause = Vec<usize>;

impl<'a> Masks<'a> {
    /// Pins an item to a slot, if that can be; earlier calls go first.
    pub(crate) fn pin_id(
        &mut self,
        slot: usize,
        id: &Id,
        row: Option<u32>,
        k: usize,
        retriever: &dyn Retriever,
    ) {
        let row = match row {
            _ if slot >= k => {
                return self.refuse(slot, &format!("the slate has {}", plural(k, "slot")))
            }
            None => return self.refuse(slot, &format!("there is no item {id}")),
            Some(row) if !retriever.is_eligible(row) => {
                return self.refuse(slot, &format!("item {id} may not be shown"))
            }
            Some(row) => row,
        };
        let name = id.to_string();
        self.wanted.push(Fixed { slot, row, name });
    }

    /// Pins a slot to a group.
    pub(crate) fn pin_within(&mut self, slot: usize, k: usize, group: Group<'a>) {
        if slot >= k {
            return self.refuse(slot, &format!("the slate has {}", plural(k, "slot")));
        }
        self.within.insert(slot, self.groups.len());
        self.groups.push(group);
    }

    /// Wants `count` of a group in the first `top` of `k` slots.
    pub(crate) fn at_least(
        &mut self,
        name: String,
        count: usize,
        top: Option<usize>,
        k: usize,
        group: Group<'a>,
    ) {
        self.minima.push(Minimum {
            group: self.groups.len(),
            name,
            count,
            top,
            end: top.unwrap_or(k).min(k),
            shown: 0,
            price: 0.0,
        });
        self.groups.push(group);
    }

    /// Notes that a pin cannot be met.
    pub(crate) fn refuse(&mut self, slot: usize, why: &str) {
        self.unmet
            .insert(slot, format!("pin of slot {slot}: {why}"));
    }

    /// The rows of pinned items.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.wanted.iter().map(|fixed| fixed.row)
    }

    /// Takes in the rows of further pool entries.
    pub(super) fn extend(&mut self, rows: &[u32]) {
        for group in &mut self.groups {
            group
                .members
                .extend(rows.iter().map(|&row| (group.has)(row)));
        }
        let n = self.groups.len();
        self.overlap.resize(n * n, false);
        for a in 0..n {
            for b in 0..a {
                let (one, other) = (&self.groups[a].members, &self.groups[b].members);
                let from = one.len() - rows.len();
                let both = one[from..]
                    .iter()
                    .zip(&other[from..])
                    .any(|(x, y)| *x && *y);
                self.overlap[a * n + b] |= both;
                self.overlap[b * n + a] |= both;
            }
        }
    }

    /// Reserves pinned items, which are in the pool by now, and what they take of the caps.
    pub(super) fn reserve(&mut self, rows: &[u32], caps: &mut Caps<'_>) {
        for Fixed { slot, row, name } in std::mem::take(&mut self.wanted) {
            let Some(entry) = rows.iter().position(|&other| other == row) else {
                continue;
            };
            let entry = entry as u32;
            if let Some((other, _)) = self.reserved.iter().find(|(_, held)| held.0 == entry) {
                let why = format!("item {name} is pinned to slot {other}");
                self.refuse(slot, &why);
            } else if caps.admits(entry) {
                caps.take(entry);
                self.counted.push(entry);
                self.reserved.insert(slot, (entry, name));
            } else {
                self.refuse(slot, &format!("caps leave no room for item {name}"));
            }
        }
    }

    pub(super) fn has_pinned_items(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether the caps have counted an entry before it was chosen.
    pub(super) fn is_counted(&self, entry: u32) -> bool {
        self.counted.contains(&entry)
    }

    /// The entry that a slot is kept for.
    pub(super) fn fixed_at(&self, slot: usize) -> Option<u32> {
        self.reserved.get(&slot).map(|(entry, _)| *entry)
    }

    /// Gives up the last reservation, because nothing else is left for the slots before it.
    pub(super) fn release(&mut self) -> Option<u32> {
        let (slot, (entry, name)) = self.reserved.pop_last()?;
        self.refuse(
            slot,
            &format!("no other item is left for the slots above, so item {name} moves up"),
        );
        Some(entry)
    }

    /// The masks of a slot that has no item of its own, in the order in which they take effect.
    pub(super) fn clauses(&self, slot: usize) -> Vec<Clause> {
        let pinned = self.within.get(&slot).map(|&group| vec![group]);
        let mut clauses: Vec<Clause> = pinned.into_iter().collect();
        let missing: Vec<usize> = self
            .minima
            .iter()
            .map(|minimum| self.missing(minimum, slot))
            .collect();
        let about = |minimum: &Minimum| slot < minimum.end;
        for (minimum, &missing) in self.minima.iter().zip(&missing) {
            let alone = [minimum.group];
            if about(minimum) && missing > 0 && self.free(slot, minimum.end, &alone) <= missing {
                clauses.push(alone.to_vec());
            }
        }
        let mut ends: Vec<usize> = self.minima.iter().map(|minimum| minimum.end).collect();
        ends.sort_unstable();
        ends.dedup();
        for end in ends {
            let open = (0..self.minima.len())
                .filter(|&i| missing[i] > 0 && about(&self.minima[i]) && self.minima[i].end <= end);
            let (needed, union) = self.together(open.collect(), &missing);
            if union.len() > 1 && self.free(slot, end, &union) <= needed {
                clauses.push(union);
            }
        }
        clauses
    }

    /// How many members a minimum lacks, with what reserved slots will show.
    fn missing(&self, minimum: &Minimum, slot: usize) -> usize {
        let members = &self.groups[minimum.group].members;
        let coming = self
            .reserved
            .range(slot..minimum.end.max(slot))
            .filter(|(_, (entry, _))| members[*entry as usize]);
        minimum.count.saturating_sub(minimum.shown + coming.count())
    }

    /// The slots from this one up to `end` that members of these groups can still take.
    fn free(&self, slot: usize, end: usize, groups: &[usize]) -> usize {
        let text = |group: usize| &self.groups[group].text;
        let lost = |after: &usize| {
            let pinned = self.within.get(after);
            let same = |&pin: &usize| groups.iter().any(|&group| text(pin) == text(group));
            self.reserved.contains_key(after) || pinned.is_some_and(|pin| !same(pin))
        };
        1 + (slot + 1..end).filter(|after| !lost(after)).count()
    }

    /// How many slots some minima need at least, and the groups that are short by most: those that share items are
    /// met by the same ones, the others add up.
    fn together(&self, minima: Vec<usize>, missing: &[usize]) -> (usize, Clause) {
        let n = self.groups.len();
        let mut left = minima;
        let (mut needed, mut union) = (0, Vec::new());
        while let Some(first) = left.pop() {
            let mut part = vec![first];
            let mut next = 0;
            while let Some(&one) = part.get(next) {
                next += 1;
                let shares = |other: &usize| {
                    self.overlap[self.minima[one].group * n + self.minima[*other].group]
                };
                part.extend(left.iter().copied().filter(shares));
                left.retain(|other| !part.contains(other));
            }
            let most = part.iter().map(|&i| missing[i]).max().unwrap_or_default();
            needed += most;
            let short = part.iter().filter(|&&i| missing[i] == most);
            union.extend(short.map(|&i| self.minima[i].group));
        }
        union.sort_unstable();
        (needed, union)
    }

    pub(super) fn admits(&self, clause: &Clause, entry: u32) -> bool {
        clause
            .iter()
            .any(|&group| self.groups[group].members[entry as usize])
    }

    pub(super) fn admits_row(&self, clauses: &[Clause], row: u32) -> bool {
        clauses
            .iter()
            .all(|clause| clause.iter().any(|&group| (self.groups[group].has)(row)))
    }

    pub(super) fn is_futile(&self, clauses: &[Clause]) -> bool {
        self.futile.iter().any(|known| known == clauses)
    }

    pub(super) fn set_futile(&mut self, clauses: Vec<Clause>) {
        self.futile.push(clauses);
    }

    /// A mask narrowed a slot, and cost the best choice so much of its score.
    pub(super) fn narrowed(&mut self, clause: &Clause, best: u32, cost: f64) {
        let meant = self.minima.iter_mut().find(|minimum| {
            clause.contains(&minimum.group) && self.groups[minimum.group].members[best as usize]
        });
        if let Some(minimum) = meant {
            minimum.price += cost;
        }
    }

    /// A slot was filled. `narrowed` are the masks that changed its set.
    pub(super) fn filled(&mut self, slot: usize, entry: u32, narrowed: &[Clause]) {
        let mut why = Vec::new();
        if self.reserved.remove(&slot).is_some() {
            why.push(format!("pinned to slot {slot}"));
        }
        for clause in narrowed {
            let pin = self.within.get(&slot).filter(|&&group| *clause == [group]);
            let groups = || {
                clause
                    .iter()
                    .filter(|&&g| self.groups[g].members[entry as usize])
            };
            let meant = |minimum: &&Minimum| groups().any(|&group| group == minimum.group);
            if let Some(&group) = pin {
                why.push(format!("slot {slot} is for {}", self.groups[group].text));
            } else if let Some(minimum) = self.minima.iter().find(meant) {
                why.push(format!("to show {}", self.describe(minimum)));
            }
        }
        self.why.push((!why.is_empty()).then(|| why.join("; ")));
        if let Some(&group) = self.within.get(&slot) {
            if !self.groups[group].members[entry as usize] {
                let why = format!("no item with {} is left for it", self.groups[group].text);
                self.refuse(slot, &why);
            }
        }
        for minimum in &mut self.minima {
            let members = &self.groups[minimum.group].members;
            minimum.shown += usize::from(slot < minimum.end && members[entry as usize]);
        }
    }

    fn describe(&self, minimum: &Minimum) -> String {
        let group = &self.groups[minimum.group].text;
        match minimum.top {
            Some(top) => format!(
                "at least {} of {group} in the first {}",
                minimum.count,
                plural(top, "slot")
            ),
            None => format!("at least {} of {group}", minimum.count),
        }
    }

    /// What they came to with a slate of so many items.
    pub(crate) fn outcome(mut self, filled: usize) -> Outcome {
        for slot in self.within.keys().copied().filter(|&slot| slot >= filled) {
            let text = format!(
                "pin of slot {slot}: the slate has {}",
                plural(filled, "item")
            );
            self.unmet.insert(slot, text);
        }
        let short = self
            .minima
            .iter()
            .filter(|minimum| minimum.shown < minimum.count);
        let short: Vec<String> = short
            .map(|minimum| format!("{}: {} shown", self.describe(minimum), minimum.shown))
            .collect();
        Outcome {
            unmet: self.unmet.into_values().chain(short).collect(),
            prices: self
                .minima
                .into_iter()
                .map(|minimum| (minimum.name, minimum.price + 0.0))
                .collect(),
            why: self.why,
        }
    }
}

fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
