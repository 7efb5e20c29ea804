// perso_core for Swift, as far as a phone needs it: classes over perso_core.h, whose functions the module map brings in.
//
// Each class owns one handle and frees it when it goes; texts that belong to a handle are copied; what a call refuses is
// thrown. Calls on a capsule, a slate or a profile may come from any thread.
import CPersoCore

/// What a call refused, and why; `name` is "expired", "tampered", "invalid_value", ... as pc_status_name has it.
public struct PersoError: Error, CustomStringConvertible {
    public let status: Int32
    public let name: String
    public let text: String
    public var description: String { "\(name): \(text)" }
}

private typealias Message = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

private func must(_ call: (Message) -> pc_status) throws {
    var error: UnsafeMutablePointer<CChar>?
    let status = call(&error)
    defer { pc_string_free(error) }
    if status != 0 {
        let text = error.map { String(cString: $0) } ?? ""
        throw PersoError(status: status, name: String(cString: pc_status_name(status)), text: text)
    }
}

private func handle(_ call: (UnsafeMutablePointer<OpaquePointer?>, Message) -> pc_status) throws -> OpaquePointer {
    var out: OpaquePointer?
    try must { call(&out, $0) }
    // The library sets it wherever it returns 0.
    return out!
}

private func count(_ call: (UnsafeMutablePointer<Int>, Message) -> pc_status) throws -> Int {
    var out = 0
    try must { call(&out, $0) }
    return out
}

/// Of a text that stays the handle's.
private func text(_ call: (UnsafeMutablePointer<UnsafePointer<CChar>?>, Message) -> pc_status) throws -> String {
    var out: UnsafePointer<CChar>?
    try must { call(&out, $0) }
    return out.map { String(cString: $0) } ?? ""
}

/// Candidates that a server packed and signed. All moments are microseconds since 1970.
public final class Capsule {
    fileprivate let pointer: OpaquePointer

    /// `keys` are the public keys that it may be signed with, 32 bytes each, one after another.
    public init(path: String, keys: [UInt8], at: Int64) throws {
        precondition(keys.count % Int(PC_KEY_BYTES) == 0, "a key has \(PC_KEY_BYTES) bytes")
        pointer = try handle { pc_capsule_open(path, keys, keys.count / Int(PC_KEY_BYTES), at, $0, $1) }
    }

    /// The same from memory, of which the library keeps a copy.
    public init(bytes: [UInt8], keys: [UInt8], at: Int64) throws {
        precondition(keys.count % Int(PC_KEY_BYTES) == 0, "a key has \(PC_KEY_BYTES) bytes")
        pointer = try handle {
            pc_capsule_open_memory(bytes, bytes.count, keys, keys.count / Int(PC_KEY_BYTES), at, 0, $0, $1)
        }
    }

    deinit { pc_capsule_free(pointer) }

    public func size() throws -> Int { try count { pc_capsule_len(pointer, $0, $1) } }

    public func contentHash() throws -> String { try text { pc_capsule_content_hash(pointer, $0, $1) } }

    public func expiresAt() throws -> Int64 {
        var out: Int64 = 0
        try must { pc_capsule_expires_at(pointer, &out, $0) }
        return out
    }

    /// A user of whom nothing is known yet.
    public func newProfile() throws -> Profile {
        Profile(try handle { pc_capsule_profile_new(pointer, nil, nil, $0, $1) })
    }

    public func observe(_ profile: Profile, id: Int64, kind: String, at: Int64) throws {
        try must { pc_capsule_observe(pointer, profile.pointer, id, kind, at, $0) }
    }

    public func observe(_ profile: Profile, id: String, kind: String, at: Int64) throws {
        try must { pc_capsule_observe_text(pointer, profile.pointer, id, kind, at, $0) }
    }

    /// `request` is JSON: "k", "at", "seed", "request_id", and what else perso_core.h lists at pc_rank.
    public func rank(_ profile: Profile?, request: String) throws -> Slate {
        Slate(try handle { pc_capsule_rank(pointer, profile?.pointer, request, $0, $1) })
    }
}

/// What is known of the user. It changes with every event, and its bytes are personal data.
public final class Profile {
    fileprivate let pointer: OpaquePointer

    fileprivate init(_ pointer: OpaquePointer) { self.pointer = pointer }

    /// What `bytes` gave, under the same plan.
    public init(bytes: [UInt8], plan: String) throws {
        pointer = try handle { pc_profile_from_bytes(bytes, bytes.count, plan, $0, $1) }
    }

    deinit { pc_profile_free(pointer) }

    public func bytes() throws -> [UInt8] {
        var out = [UInt8](repeating: 0, count: try count { pc_profile_size(pointer, $0, $1) })
        let room = out.count
        var written = 0
        try must { pc_profile_to_bytes(pointer, &out, room, &written, $0) }
        return out
    }
}

/// What to show, from the first slot on.
public final class Slate {
    private let pointer: OpaquePointer

    fileprivate init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { pc_slate_free(pointer) }

    public func size() throws -> Int { try count { pc_slate_len(pointer, $0, $1) } }

    public func ids() throws -> [Int64] {
        let room = try size()
        var out = [Int64](repeating: 0, count: room)
        var written = 0
        try must { pc_slate_ids(pointer, &out, room, &written, $0) }
        return out
    }

    public func propensities() throws -> [Double] {
        let room = try size()
        var out = [Double](repeating: 0, count: room)
        var written = 0
        try must { pc_slate_propensities(pointer, &out, room, &written, $0) }
        return out
    }

    public func reason(_ slot: Int) throws -> String { try text { pc_slate_reason(pointer, slot, $0, $1) } }

    /// What may leave the device: nothing personal is in it.
    public func record() throws -> String {
        var out: UnsafeMutablePointer<CChar>?
        try must { pc_slate_record(pointer, 0, &out, $0) }
        defer { pc_string_free(out) }
        return out.map { String(cString: $0) } ?? ""
    }
}
