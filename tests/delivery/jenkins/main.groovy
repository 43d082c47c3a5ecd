import groovy.json.JsonSlurper

// Checks the syntax of files: `--check FILE...`. Or runs the whole of a Jenkinsfile: the
// argument names a JSON file with where, with what, for whom.
if (args[0] == '--check') {
    int wrong = args.tail().count { name ->
        List<String> errors = Syntax.check(new File(name).getText('UTF-8'))
        errors.each { println "${name}: ${it}" }
        errors
    }
    System.exit(wrong ? 2 : 0)
}
Map config = new JsonSlurper().parse(new File(args[0])) as Map
String text = new File(config.jenkinsfile as String).getText('UTF-8')
List<String> errors = Syntax.check(text)
if (errors) {
    errors.each { System.err.println(it) }
    System.exit(2)
}
System.exit(new Build(config).run(text) == 'SUCCESS' ? 0 : 1)
