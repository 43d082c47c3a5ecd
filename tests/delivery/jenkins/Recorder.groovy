/** Takes any call and remembers it: what options, parameters and lists of stages are made of. */
class Recorder {

    final List<Map> calls = []

    Object methodMissing(String name, Object given) {
        Map call = [name: name, args: given as List]
        calls << call
        return call
    }

}
