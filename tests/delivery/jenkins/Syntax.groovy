import org.codehaus.groovy.ast.expr.BinaryExpression
import org.codehaus.groovy.ast.expr.ClosureExpression
import org.codehaus.groovy.ast.expr.ConstantExpression
import org.codehaus.groovy.ast.expr.Expression
import org.codehaus.groovy.ast.expr.GStringExpression
import org.codehaus.groovy.ast.expr.MapExpression
import org.codehaus.groovy.ast.expr.MethodCallExpression
import org.codehaus.groovy.ast.expr.TupleExpression
import org.codehaus.groovy.ast.expr.VariableExpression
import org.codehaus.groovy.ast.stmt.BlockStatement
import org.codehaus.groovy.ast.stmt.ExpressionStatement
import org.codehaus.groovy.ast.stmt.Statement
import org.codehaus.groovy.control.CompilationFailedException
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.Phases

/**
 * The part of Jenkins' declarative syntax that our pipeline uses; anything else is an error.
 *
 * Jenkins checks the syntax tree before a build begins, and so does this.
 */
class Syntax {

    static final Map<String, Set<String>> SECTIONS = [
        pipeline: ['agent', 'environment', 'options', 'parameters', 'triggers', 'stages', 'post'] as Set,
        stage: ['environment', 'options', 'when', 'failFast', 'steps', 'stages', 'parallel', 'post'] as Set,
    ]
    static final Set<String> POST = ['always', 'aborted', 'failure', 'success', 'unstable', 'unsuccessful',
                                     'cleanup'] as Set
    static final Map<String, Set<String>> PIPELINE_OPTIONS = [
        timestamps: [] as Set, disableConcurrentBuilds: [] as Set,
        skipStagesAfterUnstable: [] as Set, buildDiscarder: [''] as Set, timeout: ['time', 'unit'] as Set,
    ]
    static final Map<String, Set<String>> STAGE_OPTIONS = [
        timestamps: [] as Set, timeout: ['time', 'unit'] as Set,
    ]
    static final Map<String, Set<String>> ROTATOR = [
        logRotator: ['daysToKeepStr', 'numToKeepStr', 'artifactDaysToKeepStr', 'artifactNumToKeepStr'] as Set,
    ]
    static final Map<String, Set<String>> PARAMETERS = [
        string: ['name', 'defaultValue', 'description', 'trim'] as Set,
        choice: ['name', 'choices', 'description'] as Set,
    ]
    static final Map<String, Set<String>> TRIGGERS = [cron: [''] as Set, pollSCM: [''] as Set]
    static final Map<String, Set<String>> BINDINGS = [
        usernamePassword: ['credentialsId', 'usernameVariable', 'passwordVariable'] as Set,
        file: ['credentialsId', 'variable'] as Set,
    ]
    /** Steps by name; '' is the one unnamed argument, '{}' a body of further steps. */
    static final Map<String, Set<String>> STEPS = [
        sh: ['', 'script', 'returnStatus', 'returnStdout', 'label'] as Set,
        echo: [''] as Set, error: [''] as Set, unstable: [''] as Set,
        junit: ['', 'testResults', 'allowEmptyResults'] as Set,
        archiveArtifacts: ['', 'artifacts', 'allowEmptyArchive', 'fingerprint', 'excludes'] as Set,
        withCredentials: ['', '{}'] as Set, timeout: ['time', 'unit', '{}'] as Set, script: ['{}'] as Set,
    ]

    final List<String> errors = []

    static List<String> check(String text) {
        Syntax syntax = new Syntax()
        CompilationUnit unit = new CompilationUnit()
        unit.addSource('Jenkinsfile', text)
        try {
            unit.compile(Phases.CONVERSION)
        } catch (CompilationFailedException error) {
            return [error.message]
        }
        List<Statement> found = unit.AST.modules[0].statementBlock.statements
        MethodCallExpression call = found.size() == 1 ? syntax.callOf(found[0]) : null
        if (call?.methodAsString != 'pipeline') {
            return ['Jenkinsfile: it must be one pipeline { } and nothing else']
        }
        syntax.pipeline(call)
        return syntax.errors
    }

    private void pipeline(MethodCallExpression call) {
        Map<String, MethodCallExpression> parts = sections(call, 'pipeline')
        for (String needed in ['agent', 'stages']) {
            parts[needed] ?: wrong(call, "pipeline has no ${needed}")
        }
        parts.agent && positional(parts.agent)*.text != ['any'] && wrong(parts.agent, 'agent can only be any here')
        common(parts, PIPELINE_OPTIONS)
        calls(parts.parameters).each { known(it, PARAMETERS, 'parameter') }
        calls(parts.triggers).each { known(it, TRIGGERS, 'trigger') }
        stages(parts.stages)
    }

    private void common(Map<String, MethodCallExpression> parts, Map<String, Set<String>> options) {
        environment(parts.environment)
        calls(parts.options).each { option ->
            known(option, options, 'option')
            if (option.methodAsString == 'buildDiscarder') {
                option.arguments.expressions.each { known(it, ROTATOR, 'build discarder') }
            }
        }
        calls(parts.post).each { condition ->
            condition.methodAsString in POST || wrong(condition, "post has no condition ${condition.methodAsString}")
            steps(condition)
        }
    }

    private void stages(MethodCallExpression block) {
        List<MethodCallExpression> found = calls(block)
        found ?: (block && wrong(block, "${block.methodAsString} holds no stage"))
        found.each { stage(it) }
        List names = found.collect { positional(it)[0]?.text }
        names.toSet().size() == names.size() || wrong(block, 'two stages have one name')
    }

    private void stage(MethodCallExpression call) {
        List<Expression> given = positional(call)
        if (call.methodAsString != 'stage' || given.size() != 2 || !(given[0] instanceof ConstantExpression)) {
            wrong(call, 'expected stage("name") { }')
            return
        }
        String name = given[0].text
        Map<String, MethodCallExpression> parts = sections(call, 'stage')
        List<String> bodies = ['steps', 'stages', 'parallel'].findAll { parts[it] }
        bodies.size() == 1 || wrong(call, "stage ${name} must have exactly one of steps, stages, parallel")
        parts.failFast && !parts.parallel && wrong(call, "stage ${name} has failFast without parallel")
        common(parts, STAGE_OPTIONS)
        parts.steps && steps(parts.steps)
        parts.stages && stages(parts.stages)
        parts.parallel && stages(parts.parallel)
        if (parts.when) {
            calls(parts.when) ?: wrong(call, "stage ${name} has an empty when")
            calls(parts.when).each { it.methodAsString == 'expression' || wrong(it, "when has no ${it.methodAsString}") }
        }
    }

    private void steps(MethodCallExpression block) {
        List<MethodCallExpression> found = calls(block)
        found ?: wrong(block, "${block.methodAsString} holds no step")
        found.each { step ->
            known(step, STEPS, 'step')
            if (step.methodAsString == 'withCredentials') {
                bindings(step)
            }
            // What stands in script { } is free Groovy, there and in Jenkins.
            if ('{}' in STEPS[step.methodAsString] && step.methodAsString != 'script') {
                steps(step)
            }
        }
    }

    private void bindings(MethodCallExpression step) {
        Expression list = positional(step)[0]
        List<Expression> found = list.hasProperty('expressions') ? list.expressions : []
        found ?: wrong(step, 'withCredentials needs a list of bindings')
        found.each { binding ->
            known(binding, BINDINGS, 'binding')
            Set<String> missing = BINDINGS.getOrDefault(binding.methodAsString, [] as Set) - named(binding)
            missing && wrong(step, "${binding.methodAsString} lacks ${missing}")
        }
    }

    private void environment(MethodCallExpression block) {
        statements(block).each { statement ->
            Expression line = statement instanceof ExpressionStatement ? statement.expression : null
            boolean assigned = line instanceof BinaryExpression && line.operation.text == '=' &&
                line.leftExpression instanceof VariableExpression
            Expression value = assigned ? line.rightExpression : null
            boolean text = value instanceof GStringExpression ||
                (value instanceof ConstantExpression && value.value instanceof String)
            text || wrong(statement, 'environment takes NAME = "text" only')
        }
    }

    private void known(Expression call, Map<String, Set<String>> names, String kind) {
        if (!(call instanceof MethodCallExpression) || !names.containsKey(call.methodAsString)) {
            wrong(call, "no such ${kind}: ${call.hasProperty('methodAsString') ? call.methodAsString : call.text}")
            return
        }
        Set<String> allowed = names[call.methodAsString]
        List<Expression> given = positional(call)
        Set<String> used = named(call)
        given.any { it instanceof ClosureExpression } && used << '{}'
        given.any { !(it instanceof ClosureExpression) } && used << ''
        Set<String> unknown = used - allowed
        unknown && wrong(call, "${kind} ${call.methodAsString} does not take ${unknown}")
        boolean lacks = '{}' in allowed && !('{}' in used)
        boolean empty = allowed && !used
        (lacks || empty) && wrong(call, "${kind} ${call.methodAsString} lacks its argument or body")
    }

    private Map<String, MethodCallExpression> sections(MethodCallExpression block, String kind) {
        Map<String, MethodCallExpression> found = [:]
        calls(block).each { part ->
            String name = part.methodAsString
            name in SECTIONS[kind] || wrong(part, "${kind} has no section ${name}")
            found.containsKey(name) && wrong(part, "${kind} has two sections ${name}")
            found[name] = part
        }
        return found
    }

    private List<MethodCallExpression> calls(MethodCallExpression block) {
        return statements(block).collect { statement ->
            callOf(statement) ?: (wrong(statement, "${block.methodAsString} holds something that is no call") ?: null)
        }.findAll()
    }

    private List<Statement> statements(MethodCallExpression block) {
        if (!block) {
            return []
        }
        Expression body = positional(block) ? positional(block)[-1] : null
        if (!(body instanceof ClosureExpression)) {
            wrong(block, "${block.methodAsString} needs a block")
            return []
        }
        return body.code instanceof BlockStatement ? body.code.statements : [body.code]
    }

    private MethodCallExpression callOf(Statement statement) {
        Expression found = statement instanceof ExpressionStatement ? statement.expression : null
        return found instanceof MethodCallExpression && found.implicitThis ? found : null
    }

    private List<Expression> positional(Expression call) {
        Expression given = call.arguments
        List<Expression> all = given instanceof TupleExpression ? given.expressions : [given]
        return all.findAll { !(it instanceof MapExpression) }
    }

    private Set<String> named(Expression call) {
        Expression given = call.arguments
        List<Expression> all = given instanceof TupleExpression ? given.expressions : [given]
        return all.findAll { it instanceof MapExpression }
            .collectMany { it.mapEntryExpressions*.keyExpression*.text } as Set
    }

    private boolean wrong(Object node, String words) {
        errors << "Jenkinsfile:${node.lineNumber}: ${words}".toString()
        return false
    }

}
