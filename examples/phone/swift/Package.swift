// swift-tools-version:5.5
// perso_core for Swift and a phone that uses it. It takes the header and the library that `make install-capi` installs, by
// pkg-config; for iOS put both into an XCFramework and make CPersoCore a binary target.
import PackageDescription

let package = Package(
    name: "phone",
    products: [.library(name: "PersoCore", targets: ["PersoCore"])],
    targets: [
        .systemLibrary(name: "CPersoCore", pkgConfig: "perso_core"),
        .target(name: "PersoCore", dependencies: ["CPersoCore"]),
        .executableTarget(name: "phone", dependencies: ["PersoCore"]),
    ]
)
