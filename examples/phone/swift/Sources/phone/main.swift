// A phone: opens a capsule that a server signed, shows a feed, watches taps, and ranks the feed again, without a word to
// anybody. It does and prints what ../../../phone.c does.
//
//     phone CAPSULE PUBLIC_KEY AT [TAP ...]
import Foundation
import PersoCore

let shown = 8
let second: Int64 = 1_000_000

func fail(_ message: String, _ code: Int32 = 1) -> Never {
    FileHandle.standardError.write(Data((message + "\n").utf8))
    exit(code)
}

func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
}

func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}

/// The feed for what is known of the user by now. The request's name keys the random numbers of exploration.
func rank(_ capsule: Capsule, _ profile: Profile, _ at: Int64, _ turn: Int) throws -> Slate {
    try capsule.rank(
        profile, request: #"{"k": \#(shown), "at": \#(at), "seed": 7, "request_id": "feed-\#(turn)"}"#)
}

/// The ids of the feed, which is printed with its reasons and propensities.
func show(_ slate: Slate) throws -> [Int64] {
    let ids = try slate.ids()
    for (slot, p) in try slate.propensities().enumerated() {
        let likely = String(format: "%.3f", p)
        let reason = try slate.reason(slot)
        print("\(right(String(slot + 1), 2)). \(left(String(ids[slot]), 6)) p=\(likely)  \(reason)")
    }
    return ids
}

func play(_ path: String, _ key: [UInt8], _ start: Int64, _ taps: [Int]) throws {
    var now = start
    let capsule = try Capsule(path: path, keys: key, at: now)
    let hash = try capsule.contentHash().prefix(12)
    let rest = try (capsule.expiresAt() - now) / second
    let size = try capsule.size()
    print("\(size) candidates of catalog \(hash), good for \(rest) more seconds")

    let profile = try capsule.newProfile()
    var slate = try rank(capsule, profile, now, 0)
    var ids = try show(slate)
    for (turn, tap) in taps.enumerated() {
        guard tap >= 1, tap <= ids.count else { fail("there is no item \(tap) in the feed") }
        now += second
        try capsule.observe(profile, id: ids[tap - 1], kind: "click", at: now)
        print("\ntap on \(ids[tap - 1])")
        slate = try rank(capsule, profile, now, turn + 1)
        ids = try show(slate)
    }

    // What may leave the phone: which items were shown and how likely they were, and nothing of the user.
    let record = try slate.record()
    print("\n\(record)")
}

let arguments = CommandLine.arguments
if arguments.count < 4 { fail("usage: phone CAPSULE PUBLIC_KEY AT [TAP ...]", 2) }
guard let key = FileManager.default.contents(atPath: arguments[2]), key.count == 32 else {
    fail("\(arguments[2]) is no public key")
}
guard let seconds = Int64(arguments[3]) else { fail("\(arguments[3]) is no number of seconds") }
let taps = arguments[4...].map { tap -> Int in
    guard let place = Int(tap) else { fail("\(tap) is no place in the feed") }
    return place
}
do {
    try play(arguments[1], [UInt8](key), seconds * second, taps)
} catch {
    fail("\(error)")
}
