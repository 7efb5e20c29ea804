//! `PERSO_CORE_ISA` chooses among the rows there are. One test: the environment belongs to the process.

use perso_kernels::{Kernels, ISA_VARIABLE};

#[test]
fn the_variable_chooses_among_the_available_rows() {
    assert_eq!(ISA_VARIABLE, "PERSO_CORE_ISA");
    let available = Kernels::available();
    let best = available
        .last()
        .expect("there is always the scalar row")
        .isa();
    assert_eq!(Kernels::detect().isa(), best);

    std::env::remove_var(ISA_VARIABLE);
    assert_eq!(Kernels::from_env().expect("unset").isa(), best);
    std::env::set_var(ISA_VARIABLE, "");
    assert_eq!(Kernels::from_env().expect("empty").isa(), best);

    for row in &available {
        std::env::set_var(ISA_VARIABLE, row.isa().as_str());
        assert_eq!(Kernels::from_env().expect("available").isa(), row.isa());
        assert_eq!(
            Kernels::detect().isa(),
            best,
            "detect does not look at the environment"
        );
    }

    let elsewhere = if cfg!(target_arch = "aarch64") {
        "avx2"
    } else {
        "neon"
    };
    for wrong in [elsewhere, "AVX2", "sse9", " scalar", "scalar "] {
        std::env::set_var(ISA_VARIABLE, wrong);
        let error = Kernels::from_env().expect_err("not a row of this CPU");
        assert_eq!(error.value(), wrong);
        assert_eq!(
            error.available(),
            available.iter().map(|row| row.isa()).collect::<Vec<_>>()
        );
        let message = error.to_string();
        for part in [
            "PERSO_CORE_ISA",
            &format!("{wrong:?}"),
            "scalar",
            best.as_str(),
        ] {
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    }

    // The first call decides, and a wrong value does not stop it.
    assert_eq!(Kernels::get().isa(), best);
    std::env::set_var(ISA_VARIABLE, "scalar");
    assert_eq!(Kernels::get().isa(), best);
}
