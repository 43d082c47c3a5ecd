/* From incidents as columns to probabilities, in one call.
 *
 * The Python code in features/ and train/ is the reference: it trains, and it answers
 * wherever this file was not compiled. Every sum here is taken in the order and the
 * precision of that code, so nothing may be reordered: no -ffast-math, no contraction.
 * All definitions come as tables that train/kernel.py has checked; what is checked here is
 * what differs from call to call. C99, no state, safe to call from several threads.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES 15
#define WIDE 16 /* a row of CLASSES numbers, and one more that is zero */
#define BLOCK 32 /* rows that stand together: their tables fit into the cache */
#define LANES 8 /* walks that are under way at once */
#define WAITING 96 /* keys that are looked up before their rows are added */
#define LEVELS 3
#define REPORT 2
#define FACTORS 3
#define FARTHEST 1000000000 /* days from 1970; what lies beyond is left to NumPy */
#define MISSING (-1)

#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

enum { DONE = 0, REFUSED = 1, NO_MEMORY = 2 };

/* The order of RADIX in features/cross.py without the MO codes. */
enum atom {
    HOUR, SHIFT, PART_OF_DAY, MINUTE, PLACEHOLDER, WEEKDAY, WEEKEND, FIRST_OF_MONTH, AREA,
    DISTRICT, PREMISE, CROSSED, SEX, DESCENT, NO_VICTIM, DELAY, AGE, WEAPON, MO_COUNT,
    WEAPON_KIND, PREMISE_KIND, NOTHING, ATOMS
};

/* The order of FIELDS in features/dense.py; CODED of them come from tables of codes. */
enum field {
    F_HOUR, F_MINUTE, F_WEEKDAY, F_DAY_OF_MONTH, F_CROSSED, F_LAT, F_LON, F_AREA, F_DISTRICT,
    F_PREMISE, F_WEAPON, F_AGE, F_SEX, F_DESCENT, F_DELAY, F_MO_COUNT, F_LEVEL, FIELDS
};
#define CODED 4

/* The order in which train/kernel.py lays out the whole numbers of the columns. */
enum column {
    C_LEVEL, C_DAY, C_TIME, C_AREA, C_DISTRICT, C_PREMISE, C_CROSSED, C_AGE, C_SEX, C_DESCENT,
    C_DELAY, C_WEAPON, COLUMNS
};

/* kind 0: no MO code, 1: each MO code, 2: each pair of them. */
struct template {
    int64_t least, kind, factor[FACTORS];
    uint64_t base, weight[FACTORS], code_weight;
};

struct node {
    float threshold;
    int32_t look;
};

struct tree {
    int64_t depth, begin;
};

/* As in train/kernel.py, field by field; every field takes eight bytes. */
struct tables {
    int64_t template_count;
    const struct template *templates;
    uint64_t block;
    int64_t no_person, no_delay;
    int64_t time_count;
    const int64_t *times; /* [time_count][5] */
    const float *clock; /* [time_count][2] */
    int64_t age_count;
    const int64_t *ages;
    int64_t delay_count;
    const int64_t *delays;
    int64_t most_codes; /* from here on their number is the same to the templates */

    const uint64_t *keys;
    uint64_t factor;
    uint64_t bucket_shift, slot_shift, slot_mask;
    const int32_t *moves, *places;

    int64_t code_count; /* the last of the codes is behind them, and nothing is it */
    const int64_t *codes;
    int64_t code_apart;
    const int64_t *code_starts, *code_sizes; /* [CODED] */
    int64_t mo_count;
    const int64_t *mo_codes;
    int64_t columns;

    const float *weights; /* [keys][WIDE] */

    int64_t vector_trees, value_trees;
    const struct tree *trees;
    const struct node *nodes; /* of each tree from `begin`, as a heap: the root is 1 */
    const int32_t *ends; /* of each tree from `begin` */
    const float *vectors; /* [leaves][WIDE] */
    const double *values;

    int64_t units; /* a multiple of WIDE */
    const int32_t *plain; /* [keys] */
    const float *hidden; /* [plain keys][units] */
    const float *bias; /* [units] */
    const float *output; /* [units][WIDE] */
    const float *output_bias; /* [WIDE] */

    const double *pool; /* [LEVELS][3] */
    const double *offsets; /* [CLASSES] */
};

struct incident {
    int64_t level, weekday, day_of_month, codes;
    const int64_t *code;
    int64_t value[COLUMNS];
    double lat, lon;
};

/* Rows that are still to be added to the sums, in their order. */
struct pending {
    float *linear, *units;
    int weight_count, hidden_count;
    int64_t weights[WAITING], hidden[WAITING];
};

struct scores {
    float linear[WIDE], vectors[WIDE], neural[WIDE];
    double values[CLASSES];
};

/* What Python asks before anything else: do the two agree about the layout? */
__attribute__((visibility("default"))) const int64_t crimeguard_layout[] = {
    sizeof(struct tables), sizeof(struct template), sizeof(struct node), CLASSES, WIDE,
    COLUMNS, FIELDS, ATOMS,
};

/* Whole numbers wrap around, as NumPy's do. */
static int64_t plus(int64_t one, int64_t two) { return (int64_t)((uint64_t)one + (uint64_t)two); }

static int64_t floor_div(int64_t value, int64_t by) { return value / by - (value % by < 0); }

static int64_t floor_mod(int64_t value, int64_t by) {
    int64_t rest = value % by;
    return rest < 0 ? rest + by : rest;
}

static int64_t clip(int64_t value, int64_t count) {
    return value < 0 ? 0 : value < count ? value : count - 1;
}

/* Count the sorted values that are less than `wanted`. */
static int64_t below(const int64_t *sorted, int64_t count, int64_t wanted) {
    const int64_t *base = sorted;
    if (count == 0) return 0;
    while (count > 1) {
        int64_t half = count / 2;
        base += base[half - 1] < wanted ? half : 0;
        count -= half;
    }
    return base - sorted + (*base < wanted);
}

/* Day of the month by the Gregorian calendar, which repeats itself every 146,097 days. */
static int64_t day_of_month(int64_t day) {
    int64_t of_era = floor_mod(day + 719468, 146097);
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    return of_year - (153 * month + 2) / 5 + 1;
}

static void describe(const struct tables *t, const struct incident *one, int64_t *atom) {
    const int64_t *value = one->value;
    const int64_t *time = t->times + 5 * clip(plus(value[C_TIME], 1), t->time_count);
    memcpy(atom, time, 5 * sizeof *atom);
    atom[WEEKDAY] = one->weekday;
    atom[WEEKEND] = one->weekday > 4;
    atom[FIRST_OF_MONTH] = one->day_of_month == 1;
    atom[AREA] = plus(value[C_AREA], 1);
    atom[DISTRICT] = plus(value[C_DISTRICT], 1);
    atom[PREMISE] = plus(value[C_PREMISE], 1);
    atom[CROSSED] = value[C_CROSSED];
    atom[SEX] = plus(value[C_SEX], 1);
    atom[DESCENT] = plus(value[C_DESCENT], 1);
    atom[NO_VICTIM] = (value[C_DESCENT] == t->no_person) * 2 + (value[C_AGE] < 0);
    atom[DELAY] = value[C_DELAY] == t->no_delay ? t->delay_count + 1
                                                : below(t->delays, t->delay_count, value[C_DELAY]);
    atom[AGE] = t->ages[clip(plus(value[C_AGE], 1), t->age_count)];
    atom[WEAPON] = plus(value[C_WEAPON], 1);
    atom[MO_COUNT] = one->codes < t->most_codes ? one->codes : t->most_codes;
    atom[WEAPON_KIND] = floor_div(value[C_WEAPON], 100) + 1;
    atom[PREMISE_KIND] = floor_div(value[C_PREMISE], 100) + 1;
    atom[NOTHING] = 0;
}

/* Add weight rows one after the other, a strip of each at a time: its sums stay in registers. */
static void add_rows(const float *table, int64_t width, const int64_t *rows, int count, float *sums) {
    for (int64_t at = 0; at < width; at += WIDE) {
        float strip[WIDE];
        memcpy(strip, sums + at, sizeof strip);
        for (int n = 0; n < count; n++) {
            const float *row = table + rows[n] * width + at;
            for (int i = 0; i < WIDE; i++) strip[i] += row[i];
        }
        memcpy(sums + at, strip, sizeof strip);
    }
}

static void flush(const struct tables *t, struct pending *wait) {
    add_rows(t->weights, WIDE, wait->weights, wait->weight_count, wait->linear);
    add_rows(t->hidden, t->units, wait->hidden, wait->hidden_count, wait->units);
    wait->weight_count = wait->hidden_count = 0;
}

/* Remember what a key has learnt, if it is known: a cross that was never seen has no weight. */
static void add(const struct tables *t, uint64_t key, struct pending *wait) {
    uint64_t mixed = key * t->factor;
    uint64_t slot = (mixed >> t->slot_shift) & t->slot_mask;
    int64_t place = t->places[slot ^ (uint64_t)t->moves[mixed >> t->bucket_shift]];
    if (t->keys[place] != key) return;
    if (wait->weight_count == WAITING) flush(t, wait);
    PREFETCH(t->weights + place * WIDE);
    wait->weights[wait->weight_count++] = place;
    int64_t row = t->plain[place];
    if (row < 0) return;
    PREFETCH(t->hidden + row * t->units);
    wait->hidden[wait->hidden_count++] = row;
}

/* Template after template, its codes in their order, its pairs the smaller code first. */
static void add_keys(const struct tables *t, const struct incident *one, float *linear,
                     float *units) {
    int64_t atom[ATOMS];
    struct pending wait;
    wait.linear = linear;
    wait.units = units;
    wait.weight_count = wait.hidden_count = 0;
    describe(t, one, atom);
    for (int64_t number = 0; number < t->template_count; number++) {
        const struct template *mine = t->templates + number;
        if (one->level < mine->least) continue;
        uint64_t key = mine->base + (uint64_t)one->level * t->block;
        for (int i = 0; i < FACTORS; i++)
            key += (uint64_t)atom[mine->factor[i]] * mine->weight[i];
        if (mine->kind == 0) {
            add(t, key, &wait);
        } else if (mine->kind == 1) {
            if (one->codes == 0) add(t, key, &wait);
            for (int64_t i = 0; i < one->codes; i++)
                add(t, key + (uint64_t)one->code[i] * mine->code_weight, &wait);
        } else {
            for (int64_t i = 0; i < one->codes; i++) {
                for (int64_t j = i + 1; j < one->codes; j++) {
                    int64_t a = one->code[i], b = one->code[j];
                    uint64_t less = (uint64_t)(a < b ? a : b), more = (uint64_t)(a < b ? b : a);
                    add(t, key + less * mine->code_weight + more, &wait);
                }
            }
        }
    }
    flush(t, &wait);
}

static float unless_missing(int64_t value, int64_t missing) {
    return value == missing ? NAN : (float)(double)value;
}

static float place_of(const struct tables *t, int64_t field, int64_t code) {
    if (code == MISSING) return NAN;
    int64_t wanted = plus(code, field * t->code_apart);
    int64_t place = below(t->codes, t->code_count, wanted);
    return (float)(t->codes[place] == wanted ? place - t->code_starts[field]
                                             : t->code_sizes[field]);
}

/* One row of the matrix that the trees look at, twice: what is missing less than anything,
 * and more. */
static void lay_out(const struct tables *t, const struct incident *one, const float *linear,
                    float *row) {
    const int64_t *value = one->value;
    const float *clock = t->clock + 2 * clip(plus(value[C_TIME], 1), t->time_count);
    int reported = one->level >= REPORT;
    row[F_HOUR] = clock[0];
    row[F_MINUTE] = clock[1];
    row[F_WEEKDAY] = (float)one->weekday;
    row[F_DAY_OF_MONTH] = (float)one->day_of_month;
    row[F_CROSSED] = (float)value[C_CROSSED];
    row[F_LAT] = (float)one->lat;
    row[F_LON] = (float)one->lon;
    row[F_AREA] = place_of(t, 0, value[C_AREA]);
    row[F_DISTRICT] = place_of(t, 1, value[C_DISTRICT]);
    row[F_PREMISE] = place_of(t, 2, value[C_PREMISE]);
    row[F_WEAPON] = place_of(t, 3, value[C_WEAPON]);
    row[F_AGE] = unless_missing(value[C_AGE], MISSING);
    row[F_SEX] = unless_missing(value[C_SEX], MISSING);
    row[F_DESCENT] = unless_missing(value[C_DESCENT], MISSING);
    row[F_DELAY] = unless_missing(value[C_DELAY], t->no_delay);
    row[F_MO_COUNT] = reported ? (float)(double)one->codes : NAN;
    row[F_LEVEL] = (float)one->level;
    float *codes = row + FIELDS;
    for (int64_t i = 0; i < t->mo_count; i++) codes[i] = reported ? 0 : NAN;
    for (int64_t i = 0; i < one->codes && t->mo_count; i++) {
        int64_t place = below(t->mo_codes, t->mo_count, one->code[i]);
        if (place < t->mo_count && t->mo_codes[place] == one->code[i]) codes[place] = 1;
    }
    memcpy(codes + t->mo_count, linear, CLASSES * sizeof *row);
    float *more = row + t->columns;
    for (int64_t i = 0; i < t->columns; i++) {
        float here = row[i];
        row[i] = here == here ? here : -INFINITY;
        more[i] = here == here ? here : INFINITY;
    }
}

static void answer_units(const struct tables *t, const float *units, float *score) {
    float sum[WIDE] = {0};
    for (int64_t unit = 0; unit < t->units; unit++) {
        float active = units[unit] + t->bias[unit];
        active = active > 0 ? active : 0;
        const float *output = t->output + unit * WIDE;
        for (int i = 0; i < WIDE; i++) sum[i] += active * output[i];
    }
    for (int i = 0; i < WIDE; i++) score[i] = sum[i] + t->output_bias[i];
}

/* Walk LANES times down trees of one depth at once: no walk waits for another's memory. */
static void walk(const struct node *const *nodes, const float *const *rows, int64_t depth,
                 uint32_t *at) {
    for (int i = 0; i < LANES; i++) at[i] = 1;
    for (int64_t step = 0; step < depth; step++) {
        for (int i = 0; i < LANES; i++) {
            struct node here = nodes[i][at[i]];
            at[i] = 2 * at[i] + (rows[i][here.look] >= here.threshold);
        }
    }
}

/* Return the leaf that a walk down a tree has come to. */
static int32_t leaf_of(const struct tables *t, int64_t number, uint32_t at) {
    const struct tree *tree = t->trees + number;
    int32_t leaf = t->ends[tree->begin + at - ((int64_t)1 << tree->depth)];
    if (number < t->vector_trees) PREFETCH(t->vectors + (int64_t)leaf * WIDE);
    return leaf;
}

static void arrive(const struct tables *t, int64_t number, int64_t leaf, struct scores *mine) {
    if (number < t->vector_trees) {
        const float *vector = t->vectors + leaf * WIDE;
        for (int i = 0; i < WIDE; i++) mine->vectors[i] += vector[i];
    } else {
        mine->values[(number - t->vector_trees) % CLASSES] += t->values[leaf];
    }
}

/* Many rows: tree after tree, LANES rows at once. */
static void climb_together(const struct tables *t, const float *table, int64_t rows,
                           struct scores *all) {
    const float *row[BLOCK];
    int32_t leaf[BLOCK];
    for (int64_t i = 0; i < BLOCK; i++) row[i] = table + (i < rows ? i : 0) * 2 * t->columns;
    for (int64_t number = 0; number < t->vector_trees + t->value_trees; number++) {
        const struct node *nodes[LANES];
        for (int i = 0; i < LANES; i++) nodes[i] = t->nodes + t->trees[number].begin;
        for (int64_t first = 0; first < rows; first += LANES) {
            uint32_t at[LANES];
            walk(nodes, row + first, t->trees[number].depth, at);
            for (int i = 0; i < LANES; i++) leaf[first + i] = leaf_of(t, number, at[i]);
        }
        for (int64_t i = 0; i < rows; i++) arrive(t, number, leaf[i], all + i);
    }
}

/* One row: LANES trees at once, as long as they are of one depth. */
static void climb_alone(const struct tables *t, const float *row, struct scores *mine) {
    const float *rows[LANES];
    int64_t trees = t->vector_trees + t->value_trees, group;
    for (int i = 0; i < LANES; i++) rows[i] = row;
    for (int64_t first = 0; first < trees; first += group) {
        const struct tree *tree = t->trees + first;
        const struct node *nodes[LANES];
        uint32_t at[LANES];
        group = 0;
        while (group < LANES && first + group < trees && tree[group].depth == tree->depth) group++;
        for (int64_t i = 0; i < LANES; i++) nodes[i] = t->nodes + tree[i < group ? i : 0].begin;
        walk(nodes, rows, tree->depth, at);
        int32_t leaf[LANES];
        for (int64_t i = 0; i < group; i++) leaf[i] = leaf_of(t, first + i, at[i]);
        for (int64_t i = 0; i < group; i++) arrive(t, first + i, leaf[i], mine);
    }
}

static void climb(const struct tables *t, const float *table, int64_t rows, struct scores *all) {
    if (rows >= LANES / 2) {
        climb_together(t, table, rows, all);
    } else {
        for (int64_t i = 0; i < rows; i++) climb_alone(t, table + i * 2 * t->columns, all + i);
    }
}

/* NumPy adds 15 numbers like this: eight sums, those by pairs, and the rest one by one. */
static double total(const double *v) {
    double sum = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
    for (int i = 8; i < CLASSES; i++) sum += v[i];
    return sum;
}

static void blend(const struct tables *t, int64_t level, const struct scores *mine,
                  double *shares) {
    const double *weight = t->pool + 3 * level;
    double most = -INFINITY;
    for (int i = 0; i < CLASSES; i++) {
        double value = weight[0] * (double)mine->vectors[i];
        value += weight[1] * mine->values[i];
        value += weight[2] * (double)mine->neural[i];
        value += t->offsets[i];
        shares[i] = value;
        most = value > most ? value : most;
    }
    for (int i = 0; i < CLASSES; i++) shares[i] = exp(shares[i] - most);
    double sum = total(shares);
    for (int i = 0; i < CLASSES; i++) shares[i] /= sum;
}

static int read_incident(const int64_t *columns, const double *where, int64_t count,
                         int64_t code_count, int64_t at, struct incident *one) {
    const int64_t *offsets = columns + COLUMNS * count;
    for (int i = 0; i < COLUMNS; i++) one->value[i] = columns[i * count + at];
    int64_t day = one->value[C_DAY], from = offsets[at], to = offsets[at + 1];
    one->level = one->value[C_LEVEL];
    if (one->level < 0 || one->level >= LEVELS || day < -FARTHEST || day > FARTHEST) return REFUSED;
    if (from < 0 || to < from || to > code_count) return REFUSED;
    if (one->level < REPORT && to > from) return REFUSED;
    one->weekday = floor_mod(day + 3, 7);
    one->day_of_month = day_of_month(day);
    one->codes = to - from;
    one->code = offsets + count + 1 + from;
    one->lat = where[at];
    one->lon = where[count + at];
    return DONE;
}

static void begin(const struct tables *t, const struct incident *one, float *units, float *row,
                  struct scores *mine) {
    memset(mine, 0, sizeof *mine);
    memset(units, 0, (size_t)t->units * sizeof *units);
    add_keys(t, one, mine->linear, units);
    lay_out(t, one, mine->linear, row);
    answer_units(t, units, mine->neural);
    memcpy(mine->vectors, mine->linear, sizeof mine->vectors);
}

/* For tests: the log-odds of the members, [count][3][CLASSES]. */
static void tell(const struct scores *mine, double *told) {
    for (int i = 0; i < CLASSES; i++) {
        told[i] = mine->vectors[i];
        told[CLASSES + i] = mine->values[i];
        told[2 * CLASSES + i] = mine->neural[i];
    }
}

/* `columns` holds COLUMNS times `count` whole numbers, count + 1 offsets of the MO codes, and
 * the codes; `where` `count` latitudes and as many longitudes. The answers go to `shares`,
 * [count][CLASSES], and the members' log-odds to `told`, unless that is NULL. */
__attribute__((visibility("default"))) int crimeguard_answer(
    const struct tables *t, int64_t count, int64_t code_count, const int64_t *columns,
    const double *where, double *shares, double *told) {
    struct scores all[BLOCK];
    int64_t levels[BLOCK], least = count < BLOCK ? count : BLOCK;
    if (count == 0) return DONE;
    const int64_t *offsets = columns + COLUMNS * count;
    if (offsets[0] != 0 || offsets[count] != code_count) return REFUSED;
    float *units = malloc((size_t)(t->units + least * 2 * t->columns) * sizeof *units);
    if (units == NULL) return NO_MEMORY;
    float *table = units + t->units;
    int outcome = DONE;
    for (int64_t first = 0; first < count && outcome == DONE; first += BLOCK) {
        int64_t rows = count - first < BLOCK ? count - first : BLOCK;
        for (int64_t i = 0; i < rows && outcome == DONE; i++) {
            struct incident one;
            outcome = read_incident(columns, where, count, code_count, first + i, &one);
            if (outcome != DONE) break;
            levels[i] = one.level;
            begin(t, &one, units, table + i * 2 * t->columns, all + i);
        }
        if (outcome != DONE) break;
        climb(t, table, rows, all);
        for (int64_t i = 0; i < rows; i++) {
            struct scores *mine = all + i;
            for (int c = 0; c < CLASSES; c++) mine->values[c] += (double)mine->linear[c];
            if (told != NULL) tell(mine, told + (first + i) * 3 * CLASSES);
            blend(t, levels[i], mine, shares + (first + i) * CLASSES);
        }
    }
    free(units);
    return outcome;
}
