import groovy.json.JsonOutput
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicBoolean
import javax.xml.parsers.DocumentBuilderFactory

/** One build: runs the stages as Jenkins does, and writes down what happened. */
class Build {

    static class Failure extends RuntimeException {
        final String result

        Failure(String words, String result = 'FAILURE') {
            super(words)
            this.result = result
        }
    }

    /** Where a thread stands: what is bound, by when it must end, who else must stop with it. */
    static class Place {
        String stage = ''
        Map<String, String> env = [:]
        List<String> secrets = []
        long deadline = Long.MAX_VALUE
        AtomicBoolean stop = new AtomicBoolean()

        Place with(Map<String, Object> changes) {
            return new Place([stage: stage, env: env, secrets: secrets, deadline: deadline, stop: stop] + changes)
        }
    }

    static final List<String> RESULTS = ['SUCCESS', 'UNSTABLE', 'FAILURE', 'ABORTED']

    final Map config
    final File workspace
    final Map<String, String> params = [:]
    final ThreadLocal<Place> places = ThreadLocal.withInitial { new Place() }
    private final Writer log
    private final Writer events
    private final long began = System.nanoTime()
    private String result = 'SUCCESS'
    private boolean skipWhenUnstable = false

    Build(Map config) {
        this.config = config
        workspace = new File(config.workspace)
        log = new File(config.log).newWriter('UTF-8')
        events = new File(config.events).newWriter('UTF-8')
    }

    String run(String text) {
        Closure body = null
        Binding binding = new Binding(pipeline: { Closure given -> body = given })
        new GroovyShell(this.class.classLoader, binding).parse(text, 'Jenkinsfile').run()
        Sections sections = sectionsOf(body)
        List<Map> options = record(sections.kept.options)
        params.putAll(defaults(record(sections.kept.parameters)) + config.params)
        event('begin', [options: options*.name - 'logRotator', parameters: params, triggers: record(sections.kept.triggers)*.name])
        skipWhenUnstable = 'skipStagesAfterUnstable' in options*.name
        place = place.with(env: builtIn())
        new File(place.env.WORKSPACE_TMP).mkdirs()
        place = place.with(env: place.env + environment(sections.kept.environment))
        Place outside = place
        String ended = guarded { timed(options) { stages(sections.kept.stages) } }
        place = outside
        post(sections.kept.post, ended)
        event('end', [result: result])
        [log, events]*.close()
        return result
    }

    Place getPlace() { return places.get() }

    void setPlace(Place place) { places.set(place) }

    synchronized void event(String kind, Map known = [:]) {
        Map line = [at: (System.nanoTime() - began) / 1e9, event: kind, stage: place.stage] + known
        events << JsonOutput.toJson(line) << '\n'
        events.flush()
    }

    synchronized void say(String line) {
        String shown = line
        place.secrets.sort { -it.length() }.each { shown = shown.replace(it, '****') }
        log << shown << '\n'
        log.flush()
    }

    synchronized void mark(String worse) {
        if (RESULTS.indexOf(worse) > RESULTS.indexOf(result)) {
            result = worse
        }
    }

    Object inPlace(Map<String, Object> changes, Closure body) {
        Place before = place
        place = before.with(changes)
        try {
            return body.call()
        } finally {
            place = before
        }
    }

    void limited(Map limit, Closure body) {
        long span = TimeUnit.valueOf(limit.unit ?: 'MINUTES').toMillis(limit.time as long)
        long until = Math.min(place.deadline, System.currentTimeMillis() + span)
        inPlace(deadline: until, body)
    }

    private void timed(List<Map> options, Closure body) {
        Map option = options.find { it.name == 'timeout' }
        option ? limited(option.args[0], body) : body.call()
    }

    private Map<String, String> builtIn() {
        return config.env + [
            WORKSPACE: workspace.path, WORKSPACE_TMP: workspace.path + '@tmp',
            JOB_NAME: 'crimeguard', BUILD_NUMBER: '1', BUILD_URL: 'http://jenkins.invalid/job/crimeguard/1/',
        ]
    }

    private void stages(Closure block) {
        collectStages(block).each { found ->
            boolean after = result in ['FAILURE', 'ABORTED'] || (skipWhenUnstable && result == 'UNSTABLE')
            after ? skipped(found.name, 'an earlier stage failed') : stage(found.name, found.body)
        }
        if (result in ['FAILURE', 'ABORTED']) {
            throw new Failure('a stage failed', result)
        }
    }

    private List<Map> collectStages(Closure block) {
        return record(block).collect { [name: it.args[0] as String, body: it.args[1]] }
    }

    private void skipped(String name, String why) {
        inPlace(stage: name) { event('skipped', [why: why]) }
    }

    private void stage(String name, Closure body) {
        Sections sections = sectionsOf(body)
        Place inside = place.with(stage: name)
        inside.env = inside.env + environment(sections.kept.environment)
        Place before = place
        place = inside
        try {
            if (sections.kept.when && !conditions(sections.kept.when)) {
                event('skipped', [why: 'when'])
                return
            }
            event('start')
            String ended = guarded { timed(record(sections.kept.options)) { perform(sections.kept) } }
            post(sections.kept.post, ended)
            event('stop', [result: ended])
        } finally {
            place = before
        }
    }

    private void perform(Map<String, Object> kept) {
        kept.steps && steps(kept.steps)
        kept.stages && stages(kept.stages)
        kept.parallel && parallel(kept.parallel, kept.failFast as boolean)
    }

    private void parallel(Closure block, boolean failFast) {
        AtomicBoolean stop = new AtomicBoolean()
        Place outer = place
        List<Thread> threads = collectStages(block).collect { branch ->
            Thread.start(branch.name) {
                place = outer.with(stop: failFast ? stop : outer.stop)
                stage(branch.name, branch.body)
                if (failFast && result in ['FAILURE', 'ABORTED']) {
                    stop.set(true)
                }
            }
        }
        threads*.join()
        if (result in ['FAILURE', 'ABORTED']) {
            throw new Failure('a branch failed', result)
        }
    }

    private void steps(Closure body) {
        body.delegate = new Steps(this)
        body.resolveStrategy = Closure.DELEGATE_FIRST
        body.call()
    }

    /** Run something; how it ended is returned, and told if that is badly. */
    private String guarded(Closure body) {
        try {
            body.call()
            return 'SUCCESS'
        } catch (Failure | GroovyRuntimeException error) {
            String ended = error instanceof Failure ? error.result : 'FAILURE'
            mark(ended)
            say("ERROR: ${error.message}")
            event('error', [words: masked(error.message)])
            return ended
        }
    }

    private String masked(String words) {
        String shown = words
        place.secrets.each { shown = shown.replace(it, '****') }
        return shown
    }

    private void post(Closure block, String ended) {
        if (!block) {
            return
        }
        Sections sections = sectionsOf(block)
        // Jenkins' own order; cleanup comes last whatever the others did.
        ['always', 'aborted', 'failure', 'success', 'unstable', 'unsuccessful', 'cleanup'].each { when ->
            if (sections.kept[when] && applies(when, ended == 'SUCCESS' ? result : ended)) {
                event('post', [condition: when])
                guarded { steps(sections.kept[when]) }
            }
        }
    }

    private static boolean applies(String when, String ended) {
        return when in ['always', 'cleanup'] || when == ended.toLowerCase() ||
            (when == 'unsuccessful' && ended != 'SUCCESS')
    }

    private boolean conditions(Closure block) {
        Steps steps = new Steps(this)
        Object when = new Object() {
            final List<Boolean> held = []

            void expression(Closure test) {
                test.delegate = steps
                test.resolveStrategy = Closure.DELEGATE_FIRST
                held << (test.call() as boolean)
            }
        }
        block.delegate = when
        block.resolveStrategy = Closure.DELEGATE_FIRST
        block.call()
        return when.held.every()
    }

    private Sections sectionsOf(Closure body) {
        Sections sections = new Sections()
        body.delegate = sections
        body.resolveStrategy = Closure.DELEGATE_FIRST
        body.call()
        return sections
    }

    static List<Map> record(Closure body) {
        if (!body) {
            return []
        }
        Recorder recorder = new Recorder()
        body.delegate = recorder
        body.resolveStrategy = Closure.DELEGATE_FIRST
        body.call()
        return recorder.calls
    }

    private Map<String, String> environment(Closure body) {
        Map<String, String> found = [:]
        if (body) {
            Map<String, Object> known = [env: place.env, params: params]
            body.delegate = new Expando() {
                @Override
                Object getProperty(String name) { return known[name] ?: place.env[name] }

                @Override
                void setProperty(String name, Object value) { found[name] = value as String }
            }
            body.resolveStrategy = Closure.DELEGATE_FIRST
            body.call()
        }
        return found
    }

    private static Map<String, String> defaults(List<Map> declared) {
        return declared.collectEntries { call ->
            Map given = call.args[0]
            [given.name, (call.name == 'choice' ? given.choices[0] : given.defaultValue ?: '') as String]
        }
    }

    /** Count tests and failures of a JUnit report; a failure makes the build unstable. */
    static Map<String, Integer> junitOf(File report) {
        Object tree = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(report).documentElement
        Closure count = { String tag -> tree.getElementsByTagName(tag).length }
        return [tests: count('testcase'), failed: count('failure') + count('error'), skipped: count('skipped')]
    }

}
