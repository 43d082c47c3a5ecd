/** Takes sections and keeps their blocks until their time comes. */
class Sections {

    final Map<String, Object> kept = [:]

    Object getAny() { return 'any' }

    Object methodMissing(String name, Object given) {
        kept[name] = (given as List)[-1]
        return null
    }

}
