"""What a slate may show in each slot, worked out with sets from the slots above: an oracle for pins and minima."""


def group(items, where):
    """The ids of the items that match; `items` is {id: {attribute: value}}."""

    def holds(value, wanted):
        among = wanted if isinstance(wanted, list) else [wanted]
        held = value if isinstance(value, list) else [value]
        return any(one in among for one in held)

    return {i for i, of in items.items() if all(holds(of[name], want) for name, want in where.items())}


class Walk:
    """A slate being filled. `fixed` is {slot: id}, `within` {slot: where}, `minima` [(count, where, top)],
    `eligible` the ids that may be shown, all of which are candidates. Pins of the slots in `first` are reserved first,
    by slot, then the others in their order.
    """

    def __init__(self, items, eligible, k, caps, fixed, within, minima, first=()):
        self.items, self.k, self.caps = items, k, caps
        self.open = set(eligible)
        self.counts = {name: {} for name in caps}
        self.within = {slot: where for slot, where in within.items() if slot < k}
        self.minima = [(count, group(items, where), min(top or k, k), where) for count, where, top in minima]
        self.eligible = set(eligible)
        self.fixed = {}
        self.shown = []
        order = [slot for slot in sorted(fixed) if slot in first]
        order += [slot for slot in fixed if slot not in first]
        for slot in order:
            one = fixed[slot]
            can = slot < k and one in self.eligible and one not in self.fixed.values()
            if can and self.admits(one):
                self.count(one)
                self.fixed[slot] = one
                self.open.discard(one)

    def values(self, name, one):
        value = self.items[one][name]
        return value if isinstance(value, list) else [value]

    def admits(self, one):
        return all(
            self.counts[name].get(value, 0) < cap
            for name, cap in self.caps.items()
            for value in self.values(name, one)
        )

    def count(self, one):
        for name in self.caps:
            for value in self.values(name, one):
                self.counts[name][value] = self.counts[name].get(value, 0) + 1

    def lacking(self, minimum):
        count, members, end, _ = minimum
        coming = [one for slot, one in self.fixed.items() if slot < end]
        return count - len(members & set(self.shown[:end])) - len(members & set(coming))

    def left(self, end, wheres):
        t = len(self.shown)
        after = [s for s in range(t + 1, end) if s not in self.fixed]
        return 1 + sum(s not in self.within or self.within[s] in wheres for s in after)

    def masks(self):
        t = len(self.shown)
        if t in self.within:
            yield group(self.items, self.within[t])
        short = [m for m in self.minima if t < m[2] and self.lacking(m) > 0]
        for m in short:
            if self.left(m[2], [m[3]]) <= self.lacking(m):
                yield m[1]
        for end in sorted({m[2] for m in short}):
            both = [m for m in short if m[2] <= end]
            if len(both) < 2:
                continue
            assert len(both) == 2, "the oracle plans two minima together, no more"
            needs = [self.lacking(m) for m in both]
            if both[0][1] & both[1][1] & self.eligible:
                needed, both = max(needs), [m for m, n in zip(both, needs, strict=True) if n == max(needs)]
            else:
                needed = sum(needs)
            if len(both) == 2 and self.left(end, [m[3] for m in both]) <= needed:
                yield both[0][1] | both[1][1]

    def allowed(self):
        """The set of the next slot; empty where the slate ends."""
        t = len(self.shown)
        if t == self.k:
            return set()
        if t in self.fixed:
            return {self.fixed[t]}
        allowed = {one for one in self.open if self.admits(one)}
        if not allowed:
            return {self.fixed[max(self.fixed)]} if self.fixed else set()
        for mask in self.masks():
            allowed = allowed & mask or allowed
        return allowed

    def show(self, one):
        reserved = [slot for slot, held in self.fixed.items() if held == one]
        if reserved:
            del self.fixed[reserved[0]]
        else:
            self.open.discard(one)
            self.count(one)
        self.shown.append(one)
