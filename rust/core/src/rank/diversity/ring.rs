//! One number per pool entry and chosen item, for the latest items alone or for all.

/// Columns that lie together: an entry's numbers for them fill one cache line.
pub(super) const WIDTH: usize = 8;

/// Column `t` belongs to the item chosen for slot `t`. With room for `window` columns it takes the place
/// of column `t - window`. Numbers of one entry lie together in blocks of [`WIDTH`] columns, because an
/// entry is brought up to date alone; blocks come as they are needed, so neither the length of the slate
/// nor that of the window costs memory before it is used.
#[derive(Debug)]
pub(super) struct Ring {
    window: Option<usize>,
    entries: usize,
    blocks: Vec<Vec<Block>>,
}

/// An entry's numbers for [`WIDTH`] columns.
pub(super) type Block = [f64; WIDTH];

impl Ring {
    pub(super) fn new(window: Option<usize>) -> Self {
        Ring {
            window,
            entries: 0,
            blocks: Vec::new(),
        }
    }

    /// Makes room for pool entries below `entries`; new ones hold zeros.
    pub(super) fn extend(&mut self, entries: usize) {
        self.entries = entries;
        for block in &mut self.blocks {
            block.resize(entries, [0.0; WIDTH]);
        }
    }

    /// Makes room for column `t`.
    pub(super) fn open(&mut self, t: usize) {
        while self.blocks.len() * WIDTH <= self.place(t) {
            self.blocks.push(vec![[0.0; WIDTH]; self.entries]);
        }
    }

    /// Where column `t` lies.
    #[inline]
    pub(super) fn place(&self, t: usize) -> usize {
        self.window.map_or(t, |window| t % window)
    }

    #[inline]
    pub(super) fn get(&self, entry: u32, t: usize) -> f64 {
        let place = self.place(t);
        self.blocks[place / WIDTH][entry as usize][place % WIDTH]
    }

    #[inline]
    pub(super) fn set(&mut self, entry: u32, t: usize, value: f64) {
        let place = self.place(t);
        self.blocks[place / WIDTH][entry as usize][place % WIDTH] = value;
    }

    /// The entry's numbers, in order of their places.
    #[inline]
    pub(super) fn of(&self, entry: u32) -> impl Iterator<Item = &Block> {
        self.blocks.iter().map(move |block| &block[entry as usize])
    }

    /// Sum of products of the entry's numbers with a copy of another's, in [`WIDTH`] lanes and one tree,
    /// so the bits are the same whatever the compiler makes of it.
    #[inline]
    pub(super) fn dot(&self, entry: u32, other: &[Block]) -> f64 {
        let mut lanes = [0.0; WIDTH];
        for (own, other) in self.of(entry).zip(other) {
            for lane in 0..WIDTH {
                lanes[lane] += own[lane] * other[lane];
            }
        }
        let [a, b, c, d, e, f, g, h] = lanes;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}
