/* perso_core for Kotlin, as far as a phone needs it: by hand over perso_core.h, through JNA.
 *
 * JNA runs on Android and on any JVM. What the header says of ownership is what the classes here do: each owns one handle
 * and frees it in close(); texts that belong to a handle are copied; errors become PersoException. Calls on a capsule, a
 * slate or a profile may come from any thread, but none may run while it is closed.
 *
 * On Android put libperso_core_capi.so into src/main/jniLibs/<abi> and depend on net.java.dev.jna:jna:...@aar.
 */
package persocore

import com.sun.jna.Library
import com.sun.jna.Native
import com.sun.jna.NativeLong
import com.sun.jna.Pointer
import com.sun.jna.ptr.LongByReference
import com.sun.jna.ptr.NativeLongByReference
import com.sun.jna.ptr.PointerByReference
import java.io.Closeable

const val ABI_VERSION = 1
const val KEY_BYTES = 32

/* size_t: a long is as wide everywhere but on 64-bit Windows. */
private typealias Size = NativeLong
private typealias SizeByReference = NativeLongByReference

/* The functions, under their names in C. A `char **error` is always the last argument. */
private interface Functions : Library {
    fun pc_abi_version(): Int
    fun pc_status_name(status: Int): String
    fun pc_string_free(text: Pointer?)

    fun pc_capsule_open(path: String, keys: ByteArray, nKeys: Size, at: Long, out: PointerByReference, error: PointerByReference): Int
    fun pc_capsule_open_memory(bytes: ByteArray, len: Size, keys: ByteArray, nKeys: Size, at: Long, flags: Int, out: PointerByReference, error: PointerByReference): Int
    fun pc_capsule_free(capsule: Pointer?)
    fun pc_capsule_len(capsule: Pointer, out: SizeByReference, error: PointerByReference): Int
    fun pc_capsule_expires_at(capsule: Pointer, out: LongByReference, error: PointerByReference): Int
    fun pc_capsule_content_hash(capsule: Pointer, out: PointerByReference, error: PointerByReference): Int
    fun pc_capsule_profile_new(capsule: Pointer, base: FloatArray?, prior: FloatArray?, out: PointerByReference, error: PointerByReference): Int
    fun pc_capsule_observe_text(capsule: Pointer, profile: Pointer, id: String, kind: String, at: Long, error: PointerByReference): Int
    fun pc_capsule_observe(capsule: Pointer, profile: Pointer, id: Long, kind: String, at: Long, error: PointerByReference): Int
    fun pc_capsule_rank(capsule: Pointer, profile: Pointer?, request: String, out: PointerByReference, error: PointerByReference): Int

    fun pc_profile_free(profile: Pointer?)
    fun pc_profile_from_bytes(bytes: ByteArray, len: Size, plan: String, out: PointerByReference, error: PointerByReference): Int
    fun pc_profile_size(profile: Pointer, out: SizeByReference, error: PointerByReference): Int
    fun pc_profile_to_bytes(profile: Pointer, out: ByteArray, capacity: Size, n: SizeByReference, error: PointerByReference): Int

    fun pc_slate_free(slate: Pointer?)
    fun pc_slate_len(slate: Pointer, out: SizeByReference, error: PointerByReference): Int
    fun pc_slate_ids(slate: Pointer, out: LongArray, capacity: Size, n: SizeByReference, error: PointerByReference): Int
    fun pc_slate_propensities(slate: Pointer, out: DoubleArray, capacity: Size, n: SizeByReference, error: PointerByReference): Int
    fun pc_slate_reason(slate: Pointer, slot: Size, out: PointerByReference, error: PointerByReference): Int
    fun pc_slate_record(slate: Pointer, flags: Int, out: PointerByReference, error: PointerByReference): Int
}

/* libperso_core_capi: on Android among the application's own, elsewhere where -Djna.library.path says. */
private val c: Functions by lazy {
    val found = Native.load("perso_core_capi", Functions::class.java, mapOf(Library.OPTION_STRING_ENCODING to "UTF-8"))
    check(found.pc_abi_version() == ABI_VERSION) { "libperso_core_capi is of another version than this file" }
    found
}

/* What a call refused, and why: "expired", "tampered", "invalid_value", ... as pc_status_name has it. */
class PersoException(val status: Int, val name: String, text: String) : Exception("$name: $text")

private inline fun must(call: (PointerByReference) -> Int) {
    val error = PointerByReference()
    val status = call(error)
    if (status == 0) return
    val text = error.value?.getString(0, "UTF-8") ?: ""
    c.pc_string_free(error.value)
    throw PersoException(status, c.pc_status_name(status), text)
}

private inline fun handle(call: (PointerByReference, PointerByReference) -> Int): Pointer {
    val out = PointerByReference()
    must { call(out, it) }
    return out.value
}

private inline fun size(call: (SizeByReference, PointerByReference) -> Int): Int {
    val out = SizeByReference()
    must { call(out, it) }
    return out.value.toInt()
}

private inline fun long(call: (LongByReference, PointerByReference) -> Int): Long {
    val out = LongByReference()
    must { call(out, it) }
    return out.value
}

/* Of a text that stays the handle's. */
private inline fun text(call: (PointerByReference, PointerByReference) -> Int): String = handle(call).getString(0, "UTF-8")

/* One handle, and the end of it. */
abstract class Handle internal constructor(private var held: Pointer?, private val free: (Pointer) -> Unit) : Closeable {
    internal val pointer: Pointer
        get() = checkNotNull(held) { "it has been closed" }

    override fun close() {
        held?.let(free)
        held = null
    }
}

/* Candidates that a server packed and signed. `keys` are the public keys that it may be signed with, 32 bytes each; `at` and
 * all moments are microseconds since 1970. */
class Capsule private constructor(pointer: Pointer) : Handle(pointer, { c.pc_capsule_free(it) }) {
    constructor(path: String, keys: ByteArray, at: Long) : this(
        handle { out, error -> c.pc_capsule_open(path, keys, Size(keyCount(keys)), at, out, error) }
    )

    /* The bytes may change afterwards: the library keeps a copy. */
    constructor(bytes: ByteArray, keys: ByteArray, at: Long) : this(
        handle { out, error ->
            c.pc_capsule_open_memory(bytes, Size(bytes.size.toLong()), keys, Size(keyCount(keys)), at, 0, out, error)
        }
    )

    val size: Int
        get() = size { out, error -> c.pc_capsule_len(pointer, out, error) }
    val expiresAt: Long
        get() = long { out, error -> c.pc_capsule_expires_at(pointer, out, error) }
    val contentHash: String
        get() = text { out, error -> c.pc_capsule_content_hash(pointer, out, error) }

    /* A user of whom nothing is known yet. */
    fun newProfile(): Profile = Profile(handle { out, error -> c.pc_capsule_profile_new(pointer, null, null, out, error) })

    fun observe(profile: Profile, id: Long, kind: String, at: Long) =
        must { c.pc_capsule_observe(pointer, profile.pointer, id, kind, at, it) }

    fun observe(profile: Profile, id: String, kind: String, at: Long) =
        must { c.pc_capsule_observe_text(pointer, profile.pointer, id, kind, at, it) }

    /* `request` is JSON: "k", "at", "seed", "request_id", and what else perso_core.h lists at pc_rank. */
    fun rank(profile: Profile?, request: String): Slate =
        Slate(handle { out, error -> c.pc_capsule_rank(pointer, profile?.pointer, request, out, error) })

    private companion object {
        fun keyCount(keys: ByteArray): Long {
            require(keys.size % KEY_BYTES == 0) { "keys: expected $KEY_BYTES bytes each, got ${keys.size}" }
            return (keys.size / KEY_BYTES).toLong()
        }
    }
}

/* What is known of the user. It changes with every event, and its bytes are personal data. */
class Profile internal constructor(pointer: Pointer) : Handle(pointer, { c.pc_profile_free(it) }) {
    fun toBytes(): ByteArray {
        val out = ByteArray(size { found, error -> c.pc_profile_size(pointer, found, error) })
        must { c.pc_profile_to_bytes(pointer, out, Size(out.size.toLong()), SizeByReference(), it) }
        return out
    }

    companion object {
        /* What toBytes gave, under the same plan. */
        fun fromBytes(bytes: ByteArray, plan: String): Profile =
            Profile(handle { out, error -> c.pc_profile_from_bytes(bytes, Size(bytes.size.toLong()), plan, out, error) })
    }
}

/* What to show, from the first slot on. */
class Slate internal constructor(pointer: Pointer) : Handle(pointer, { c.pc_slate_free(it) }) {
    val size: Int
        get() = size { out, error -> c.pc_slate_len(pointer, out, error) }

    val ids: LongArray
        get() = LongArray(size).also { out -> must { c.pc_slate_ids(pointer, out, Size(out.size.toLong()), SizeByReference(), it) } }

    val propensities: DoubleArray
        get() = DoubleArray(size).also { out ->
            must { c.pc_slate_propensities(pointer, out, Size(out.size.toLong()), SizeByReference(), it) }
        }

    fun reason(slot: Int): String = text { out, error -> c.pc_slate_reason(pointer, Size(slot.toLong()), out, error) }

    /* What may leave the device: nothing personal is in it. */
    fun record(): String {
        val out = handle { found, error -> c.pc_slate_record(pointer, 0, found, error) }
        return out.getString(0, "UTF-8").also { c.pc_string_free(out) }
    }
}
