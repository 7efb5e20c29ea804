//! Whole numbers into a store.

use super::{dequantise, Data, VectorStore};

impl VectorStore {
    /// Appends rows of whole numbers. An int8 store keeps them as its codes, with scale 1: what comes back is what
    /// came. Codes end at -127, so a row with a -128 is quantised as any vector is.
    pub fn push_codes(&mut self, rows: &[i8]) {
        for row in rows.chunks_exact(self.dim) {
            let Data::I8 { codes, scales } = &mut self.data else {
                self.push_widened(row);
                continue;
            };
            if row.contains(&i8::MIN) {
                self.push_widened(row);
                continue;
            }
            // A scale beside codes that are all 0 would bound nothing, and a file with one is refused.
            let scale = f32::from(u8::from(row.iter().any(|code| *code != 0)));
            let mut stored = vec![0.0; row.len()];
            dequantise(row, scale, &mut stored);
            codes.extend_from_slice(row);
            scales.push(scale);
            let norm = self.kernels.dot_f32(&stored, &stored).sqrt();
            self.norms.push(norm);
        }
    }

    fn push_widened(&mut self, row: &[i8]) {
        let wide: Vec<f32> = row.iter().map(|code| f32::from(*code)).collect();
        self.push(&wide);
    }
}
