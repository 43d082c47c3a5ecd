import java.nio.file.FileSystems
import java.nio.file.Files
import java.util.concurrent.TimeUnit

/** The steps that the pipeline uses, as Jenkins' plugins carry them out. */
class Steps {

    private final Build build

    Steps(Build build) { this.build = build }

    Object methodMissing(String name, Object given) {
        throw new Build.Failure("No such DSL method '${name}' found among steps")
    }

    Object propertyMissing(String name) {
        throw new Build.Failure("No such property: ${name}")
    }

    Map<String, String> getParams() { return build.params }

    Map<String, String> getEnv() { return build.place.env }

    void echo(String words) { build.say(words) }

    void error(String words) { throw new Build.Failure(words) }

    void unstable(String words) {
        build.say(words)
        build.mark('UNSTABLE')
    }

    void script(Closure body) { body.call() }

    void timeout(Map limit, Closure body) { build.limited(limit, body) }

    boolean fileExists(String path) { return new File(build.workspace, path).exists() }

    Object sh(Object script) { return sh(script: script) }

    Object sh(Map given) {
        Object text = given.script
        boolean told = text instanceof GString &&
            text.values.any { value -> build.place.secrets.any { value.toString().contains(it) } }
        if (told) {
            throw new Build.Failure('a secret stands in a Groovy string')
        }
        build.event('sh', [script: text as String])
        StringBuilder out = new StringBuilder()
        int code = execute(text as String, given.returnStdout ? out : null)
        build.event('sh done', [script: text as String, code: code])
        if (given.returnStatus) {
            return code
        }
        if (code != 0) {
            throw new Build.Failure("script returned exit code ${code}")
        }
        return given.returnStdout ? out.toString() : null
    }

    void withCredentials(List<Map> bindings, Closure body) {
        Map<String, String> bound = [:]
        List<String> secrets = []
        List<File> files = []
        bindings.each { binding ->
            Map asked = binding.args[0]
            Map known = build.config.credentials[asked.credentialsId]
            if (!known) {
                throw new Build.Failure("Could not find credentials entry with ID '${asked.credentialsId}'")
            }
            build.event('credentials', [id: asked.credentialsId, kind: binding.name])
            if (binding.name == 'file') {
                File copy = File.createTempFile('secret', '', new File(build.place.env.WORKSPACE_TMP))
                copy.text = known.content
                files << copy
                bound[asked.variable] = copy.path
                secrets << copy.path
            } else if (binding.name == 'usernamePassword') {
                bound[asked.usernameVariable] = known.user
                bound[asked.passwordVariable] = known.password
                // As in Jenkins, the name is only masked where that is ticked.
                secrets << known.password
            }
        }
        try {
            build.inPlace([env: build.place.env + bound, secrets: build.place.secrets + secrets], body)
        } finally {
            files*.delete()
        }
    }

    Map usernamePassword(Map given) { return [name: 'usernamePassword', args: [given]] }

    Map file(Map given) { return [name: 'file', args: [given]] }

    void junit(String pattern) { junit(testResults: pattern) }

    void junit(Map given) {
        List<File> reports = matching(given.testResults)
        if (!reports && !given.allowEmptyResults) {
            throw new Build.Failure('No test report files were found. Configuration error?')
        }
        reports.each { report ->
            Map<String, Integer> counts = Build.junitOf(report)
            build.event('junit', counts)
            counts.failed && build.mark('UNSTABLE')
        }
    }

    void archiveArtifacts(String pattern) { archiveArtifacts(artifacts: pattern) }

    void archiveArtifacts(Map given) {
        List<File> found = given.artifacts.split(',').collectMany { matching(it.trim()) }
        if (!found && !given.allowEmptyArchive) {
            throw new Build.Failure('No artifacts found')
        }
        build.event('archived', [files: found.collect { build.workspace.relativePath(it) }.sort()])
    }

    private List<File> matching(String pattern) {
        Object matcher = FileSystems.default.getPathMatcher("glob:${pattern}")
        List<File> found = []
        String first = pattern.tokenize('/')[0]
        File top = first.contains('*') ? build.workspace : new File(build.workspace, first)
        if (top.exists()) {
            Files.walk(top.toPath()).withCloseable { walk ->
                walk.filter { Files.isRegularFile(it) && matcher.matches(build.workspace.toPath().relativize(it)) }
                    .forEach { found << it.toFile() }
            }
        }
        return found
    }

    private int execute(String script, StringBuilder out) {
        // A session of its own, so that everything that it started ends with it.
        List<String> command = ['setsid', '--wait', '/bin/sh', '-xe', '-c', script]
        ProcessBuilder builder = new ProcessBuilder(command).directory(build.workspace)
        builder.environment().clear()
        builder.environment().putAll(build.place.env)
        builder.redirectInput(new File('/dev/null'))
        out == null && builder.redirectErrorStream(true)
        Process process = builder.start()
        Build.Place here = build.place
        List<Thread> readers = [reader(process.inputStream, here, out)]
        out == null || readers << reader(process.errorStream, here, null)
        String ended = null
        while (!process.waitFor(50, TimeUnit.MILLISECONDS)) {
            ended = System.currentTimeMillis() > here.deadline ? 'timed out' : here.stop.get() ? 'a branch failed' : null
            if (ended) {
                // The whole group: a list of children misses those that begin meanwhile. It is led
                // by the process itself or, where setsid had to fork, by its child.
                List<String> groups = ([process.toHandle()] + process.descendants().toList())
                    .collect { "-${it.pid()}" as String }
                new ProcessBuilder(['/bin/kill', '-KILL', '--'] + groups).start().waitFor()
                process.destroyForcibly().waitFor()
                break
            }
        }
        readers*.join()
        if (ended) {
            build.event(ended == 'timed out' ? 'timeout' : 'interrupted', [script: script])
            throw new Build.Failure("interrupted: ${ended}", 'ABORTED')
        }
        return process.exitValue()
    }

    private Thread reader(InputStream stream, Build.Place here, StringBuilder out) {
        return Thread.start {
            build.place = here
            try {
                stream.eachLine('UTF-8') { line -> out == null ? build.say(line) : out.append(line).append('\n') }
            } catch (IOException ignored) {
                build.say('(the rest is lost: it was killed)')
            }
        }
    }

}
