// Faces and poses on Android with files of blazeport and LiteRT's Interpreter (com.google.ai.edge.litert:litert, whose
// package is org.tensorflow.lite). The steps are those of examples/cpp, which is tested. This file compiles and has never been run.
package blazeport

import android.graphics.Bitmap
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.atan2
import kotlin.math.cos
import kotlin.math.exp
import kotlin.math.hypot
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin
import org.json.JSONArray
import org.json.JSONObject
import org.tensorflow.lite.Interpreter

/** A position in px of the bitmap. */
class Point(val x: Float, val y: Float)

/** A square in px of the bitmap, turned clockwise by [rotation] radians. */
class Square(val xCenter: Float, val yCenter: Float, val side: Float, val rotation: Float)

/** A face or a person; [keypoints] in the order of the manifest's `decoding.keypoints`. */
class Detection(val score: Float, val low: Point, val high: Point, val keypoints: List<Point>)

/** [z] in px like [x], smaller is nearer; [visibility] and [presence] in [0, 1]. */
class Landmark(val x: Float, val y: Float, val z: Float, val visibility: Float, val presence: Float)

class Person(val presence: Float, val landmarks: List<Landmark>)

/** One .tflite file with the manifest beside it: floats in, floats out by name, whatever the file stores. */
class Network(private val file: File, numThreads: Int = 1) : AutoCloseable {
    val manifest = JSONObject(File(file.parentFile, file.nameWithoutExtension + ".json").readText())
    val decoding: JSONObject = manifest.getJSONObject("decoding")
    val side: Int = manifest.getJSONObject("input").getJSONArray("shape").getInt(1)

    private val interpreter = Interpreter(file, Interpreter.Options().setNumThreads(numThreads))
    private val signature = interpreter.signatureKeys[0]
    private val inputName = interpreter.getSignatureInputs(signature)[0]
    private val input = manifest.getJSONObject("input")
    private val outputs = manifest.getJSONArray("outputs").objects()

    /** [image] has side × side × RGB values in the range of the manifest. */
    fun run(image: FloatArray): Map<String, FloatArray> {
        val stored = buffer(input)
        for (value in image) store(stored, value, input)
        stored.rewind()
        val buffers = outputs.associate { it.getString("name") to buffer(it) }
        interpreter.runSignature(mapOf<String, Any>(inputName to stored), buffers, signature)
        return outputs.associate { it.getString("name") to load(buffers.getValue(it.getString("name")), it) }
    }

    fun sibling(name: String) = File(file.parentFile, name)

    override fun close() = interpreter.close()

    private fun buffer(tensor: JSONObject): ByteBuffer {
        val bytes = if (tensor.getString("dtype") == "float32") 4 else 1
        return ByteBuffer.allocateDirect(count(tensor) * bytes).order(ByteOrder.nativeOrder())
    }

    private fun count(tensor: JSONObject): Int {
        val shape = tensor.getJSONArray("shape")
        return (0 until shape.length()).fold(1) { product, i -> product * shape.getInt(i) }
    }

    // A quantized tensor stands for scale * (stored - zero_point).
    private fun store(buffer: ByteBuffer, value: Float, tensor: JSONObject) {
        val dtype = tensor.getString("dtype")
        if (dtype == "float32") {
            buffer.putFloat(value)
            return
        }
        val level = Math.rint((value / tensor.getDouble("scale").toFloat()).toDouble()).toInt() + tensor.getInt("zero_point")
        buffer.put((if (dtype == "int8") level.coerceIn(-128, 127) else level.coerceIn(0, 255)).toByte())
    }

    private fun load(buffer: ByteBuffer, tensor: JSONObject): FloatArray {
        buffer.rewind()
        val dtype = tensor.getString("dtype")
        if (dtype == "float32") return FloatArray(count(tensor)) { buffer.getFloat() }
        val scale = tensor.getDouble("scale").toFloat()
        val zeroPoint = tensor.getInt("zero_point")
        return FloatArray(count(tensor)) {
            val level = buffer.get().toInt()
            scale * ((if (dtype == "int8") level else level and 0xff) - zeroPoint)
        }
    }
}

class Detector(file: File) : AutoCloseable {
    private val network = Network(file)
    private val decoding = network.decoding
    private val anchors = JSONObject(network.sibling(decoding.getString("anchors")).readText()).getJSONArray("anchors")

    /** Best first. */
    fun detect(bitmap: Bitmap): List<Detection> {
        val seen = Square(bitmap.width / 2f, bitmap.height / 2f, max(bitmap.width, bitmap.height).toFloat(), 0f)
        val outputs = network.run(crop(bitmap, seen, network.side, decoding.getJSONArray("input_range"), false))
        val boxes = outputs.getValue("boxes")
        val scores = outputs.getValue("scores")
        val row = boxes.size / scores.size
        check(scores.size == anchors.length()) { "The anchors are those of another network." }
        val found = scores.indices.mapNotNull { i ->
            val score = sigmoid(scores[i])
            if (score < decoding.getDouble("min_score")) return@mapNotNull null
            // Boxes hold dx dy w h and then x y of each keypoint, in px of the input and relative to the anchor.
            val values = boxes.copyOfRange(i * row, (i + 1) * row)
            if (!(values[2] >= 0 && values[3] >= 0)) return@mapNotNull null
            val anchor = anchors.getJSONArray(i)
            val place = { dx: Float, dy: Float ->
                Point(
                    seen.xCenter + (dx / network.side + anchor.getDouble(0).toFloat() - 0.5f) * seen.side,
                    seen.yCenter + (dy / network.side + anchor.getDouble(1).toFloat() - 0.5f) * seen.side
                )
            }
            Detection(
                score,
                place(values[0] - values[2] / 2, values[1] - values[3] / 2),
                place(values[0] + values[2] / 2, values[1] + values[3] / 2),
                (4 until row step 2).map { place(values[it], values[it + 1]) }
            )
        }
        return blend(found, decoding.getDouble("nms_iou").toFloat())
    }

    /** A pose detector's: the square in which the landmark network looks for this person, upright. */
    fun region(person: Detection): Square? {
        val points = decoding.getJSONArray("roi_points")
        val center = person.keypoints[points.getInt(0)]
        val rim = person.keypoints[points.getInt(1)]
        val radius = hypot(rim.x - center.x, rim.y - center.y)
        if (!(radius > 0)) return null
        val side = 2 * radius * decoding.getDouble("roi_scale").toFloat()
        return Square(center.x, center.y, side, atan2(rim.x - center.x, center.y - rim.y))
    }

    override fun close() = network.close()
}

class Landmarker(file: File) : AutoCloseable {
    private val network = Network(file)
    private val decoding = network.decoding

    /** The person in a region; null where there is none. A file with a heatmap is used without it. */
    fun find(bitmap: Bitmap, region: Square): Person? {
        val outputs = network.run(crop(bitmap, region, network.side, decoding.getJSONArray("input_range"), true))
        val presence = outputs.getValue("presence")[0]
        if (presence <= decoding.getDouble("min_presence")) return null
        val values = outputs.getValue("landmarks")
        val cosine = cos(region.rotation)
        val sine = sin(region.rotation)
        val landmarks = (0 until decoding.getInt("num_body_landmarks")).map { i ->
            // x y z in px of the input, then visibility and presence as logits.
            val u = (values[5 * i] / network.side - 0.5f) * region.side
            val v = (values[5 * i + 1] / network.side - 0.5f) * region.side
            Landmark(
                region.xCenter + cosine * u - sine * v,
                region.yCenter + sine * u + cosine * v,
                values[5 * i + 2] / network.side * region.side,
                sigmoid(values[5 * i + 3]),
                sigmoid(values[5 * i + 4])
            )
        }
        return Person(presence, landmarks)
    }

    override fun close() = network.close()
}

private fun JSONArray.objects() = (0 until length()).map { getJSONObject(it) }

private fun sigmoid(value: Float) = 1 / (1 + exp(-value))

/**
 * Crops a square. Beyond the bitmap lies its border when [repeatBorder], else black. The square's corners become those
 * of the crop, and pixels are blended in steps of 1/32 px, as in MediaPipe: other conventions move landmarks by percents.
 */
private fun crop(bitmap: Bitmap, square: Square, side: Int, range: JSONArray, repeatBorder: Boolean): FloatArray {
    val width = bitmap.width
    val height = bitmap.height
    val pixels = IntArray(width * height)
    bitmap.getPixels(pixels, 0, width, 0, 0, width, height)
    val pixel = { x: Int, y: Int ->
        if (repeatBorder) {
            pixels[y.coerceIn(0, height - 1) * width + x.coerceIn(0, width - 1)]
        } else if (x in 0 until width && y in 0 until height) {
            pixels[y * width + x]
        } else {
            0
        }
    }
    val low = range.getDouble(0).toFloat()
    val step = (range.getDouble(1).toFloat() - low) / 255
    val cosine = cos(square.rotation.toDouble())
    val sine = sin(square.rotation.toDouble())
    val crop = FloatArray(side * side * 3)
    var next = 0
    for (row in 0 until side) {
        for (column in 0 until side) {
            val u = (column.toDouble() / side - 0.5) * square.side
            val v = (row.toDouble() / side - 0.5) * square.side
            val x = Math.rint((square.xCenter + cosine * u - sine * v) * 32).toInt()
            val y = Math.rint((square.yCenter + sine * u + cosine * v) * 32).toInt()
            val right = x and 31
            val below = y and 31
            val corners = intArrayOf(
                pixel(x shr 5, y shr 5), pixel((x shr 5) + 1, y shr 5),
                pixel(x shr 5, (y shr 5) + 1), pixel((x shr 5) + 1, (y shr 5) + 1)
            )
            for (shift in intArrayOf(16, 8, 0)) { // R, G, B of ARGB
                val (a, b, c, d) = corners.map { (it shr shift) and 0xff }
                val top = a * (32 - right) + b * right
                val bottom = c * (32 - right) + d * right
                crop[next++] = ((top * (32 - below) + bottom * below + 512) shr 10) * step + low
            }
        }
    }
    return crop
}

private fun overlap(a: Detection, b: Detection): Float {
    val area = { low: Point, high: Point -> max(high.x - low.x, 0f) * max(high.y - low.y, 0f) }
    val common = area(
        Point(max(a.low.x, b.low.x), max(a.low.y, b.low.y)),
        Point(min(a.high.x, b.high.x), min(a.high.y, b.high.y))
    )
    val both = area(a.low, a.high) + area(b.low, b.high) - common
    return if (both > 0) common / both else 0f
}

/** BlazeFace blends detections that overlap the best one, weighted by score, instead of dropping them. */
private fun blend(detections: List<Detection>, minOverlap: Float): List<Detection> {
    var left = detections.sortedByDescending { it.score }
    val blended = mutableListOf<Detection>()
    while (left.isNotEmpty()) {
        val best = left[0]
        val (group, others) = left.partition { overlap(best, it) > minOverlap }
        if (group.isEmpty()) return blended + best // The best has no area and overlaps nothing, not even itself.
        val total = group.fold(0f) { sum, each -> sum + each.score }
        val mean = { of: (Detection) -> Point ->
            Point(
                group.fold(0f) { sum, each -> sum + each.score * of(each).x } / total,
                group.fold(0f) { sum, each -> sum + each.score * of(each).y } / total
            )
        }
        blended += Detection(best.score, mean { it.low }, mean { it.high }, best.keypoints.indices.map { k -> mean { it.keypoints[k] } })
        left = others
    }
    return blended
}
