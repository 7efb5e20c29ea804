/* A phone: opens a capsule that a server signed, shows a feed, watches taps, and ranks the feed again, without a word to
 * anybody. It does and prints what ../phone.c does, and README.md says how to build it.
 *
 *     PhoneKt CAPSULE PUBLIC_KEY AT [TAP ...]
 */
package phone

import java.io.File
import java.io.FileDescriptor
import java.io.FileOutputStream
import java.io.PrintStream
import java.math.BigDecimal
import java.math.RoundingMode
import kotlin.system.exitProcess
import persocore.Capsule
import persocore.PersoException
import persocore.Profile
import persocore.Slate

const val SHOWN = 8
const val SECOND = 1_000_000L

/* Texts are UTF-8, whatever the locale. */
val out = PrintStream(FileOutputStream(FileDescriptor.out), true, "UTF-8")

/* The feed for what is known of the user by now. The request's name keys the random numbers of exploration. */
fun rank(capsule: Capsule, profile: Profile, at: Long, turn: Int): Slate =
    capsule.rank(profile, """{"k": $SHOWN, "at": $at, "seed": 7, "request_id": "feed-$turn"}""")

/* The ids of the feed, which is printed with its reasons and propensities. */
fun show(slate: Slate): LongArray {
    val ids = slate.ids
    val propensities = slate.propensities
    for (slot in ids.indices) {
        // Rounded as it is, bit for bit; Java's %.3f rounds its shortest decimal form.
        val p = BigDecimal(propensities[slot]).setScale(3, RoundingMode.HALF_EVEN).toPlainString()
        out.print("${(slot + 1).toString().padStart(2)}. ${ids[slot].toString().padEnd(6)} p=$p  ${slate.reason(slot)}\n")
    }
    return ids
}

fun play(path: String, key: ByteArray, seconds: Long, taps: List<Int>) {
    var now = seconds * SECOND
    Capsule(path, key, now).use { capsule ->
        val left = (capsule.expiresAt - now) / SECOND
        out.print("${capsule.size} candidates of catalog ${capsule.contentHash.take(12)}, good for $left more seconds\n")
        capsule.newProfile().use { profile ->
            var slate = rank(capsule, profile, now, 0)
            try {
                var ids = show(slate)
                for ((i, tap) in taps.withIndex()) {
                    require(tap in 1..ids.size) { "there is no item $tap in the feed" }
                    now += SECOND
                    capsule.observe(profile, ids[tap - 1], "click", now)
                    out.print("\ntap on ${ids[tap - 1]}\n")
                    val next = rank(capsule, profile, now, i + 1)
                    slate.close()
                    slate = next
                    ids = show(slate)
                }
                // What may leave the phone: which items were shown and how likely they were, and nothing of the user.
                out.print("\n${slate.record()}\n")
            } finally {
                slate.close()
            }
        }
    }
}

fun main(arguments: Array<String>) {
    if (arguments.size < 3) {
        System.err.println("usage: phone CAPSULE PUBLIC_KEY AT [TAP ...]")
        exitProcess(2)
    }
    try {
        play(arguments[0], File(arguments[1]).readBytes(), arguments[2].toLong(), arguments.drop(3).map { it.toInt() })
    } catch (error: PersoException) {
        System.err.println(error.message)
        exitProcess(1)
    } catch (error: IllegalArgumentException) {
        System.err.println(error.message)
        exitProcess(1)
    }
}
