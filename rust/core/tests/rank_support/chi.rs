//! The chi-square test, and the rate at which it may be wrong.

/// Pearson's statistic of counts against probabilities.
pub fn chi_square(counts: &[usize], probabilities: &[f64]) -> f64 {
    let total: usize = counts.iter().sum();
    counts
        .iter()
        .zip(probabilities)
        .map(|(&count, p)| {
            let expected = total as f64 * p;
            assert!(
                expected >= 20.0,
                "too few draws for a chi-square: {expected}"
            );
            (count as f64 - expected).powi(2) / expected
        })
        .sum()
}

/// How often chance alone gives a statistic at least this large: the closed form of the survival
/// function, a finite sum for a whole number of degrees of freedom.
pub fn p_value(statistic: f64, degrees: usize) -> f64 {
    let x = statistic;
    let (mut sum, mut term, first) = if degrees % 2 == 1 {
        let term = (2.0 * x / std::f64::consts::PI).sqrt() * (-x / 2.0).exp();
        (libm::erfc((x / 2.0).sqrt()), term, 3)
    } else {
        (0.0, (-x / 2.0).exp(), 2)
    };
    for j in (first..=degrees).step_by(2) {
        sum += term;
        term *= x / j as f64;
    }
    sum
}

/// Every test here fails by chance for one seed in a million.
pub const FALSE_ALARM: f64 = 1e-6;
