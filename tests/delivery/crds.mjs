// Validates custom resources of Argo CD and the Prometheus operator: a JSON list of them on
// stdin, a JSON list of [place in the list, message] on stdout.
//
// The validators of @kubernetes-models check what they know and pass over what they do not.
// A field that no validator reads is one that the schema does not have, so every read is
// noted; this is what makes the check as strict as the API server's.
import { readFileSync } from "node:fs";

const FAMILIES = {
  "argoproj.io": "@kubernetes-models/argo-cd",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

function watched(value, path, seen) {
  if (value === null || typeof value !== "object") return value;
  const copy = Array.isArray(value) ? [] : {};
  for (const [key, item] of Object.entries(value)) {
    copy[key] = watched(item, `${path}/${key}`, seen);
  }
  return new Proxy(copy, {
    get(target, key) {
      if (typeof key === "string" && Object.hasOwn(target, key)) seen.add(`${path}/${key}`);
      return target[key];
    },
  });
}

function* paths(value, path) {
  if (value === null || typeof value !== "object") return;
  for (const [key, item] of Object.entries(value)) {
    yield `${path}/${key}`;
    yield* paths(item, `${path}/${key}`);
  }
}

async function problems(object) {
  const [group, version] = object.apiVersion.split("/");
  const family = FAMILIES[group];
  if (family === undefined) return [`no schema for ${object.apiVersion}`];
  const { [object.kind]: kind } = await import(`${family}/${group}/${version}`);
  if (kind === undefined) return [`no schema for ${object.kind}`];
  const seen = new Set();
  try {
    // Called on the object itself: the constructor would copy it, and so read all of it.
    kind.prototype.validate.call(watched(object, "", seen));
  } catch (error) {
    return [error.message];
  }
  const unknown = [...paths(object, "")].filter((path) => !seen.has(path));
  return unknown.map((path) => `${path} is no field of ${object.kind}`);
}

const found = [];
for (const [place, object] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  for (const message of await problems(object)) found.push([place, message]);
}
process.stdout.write(JSON.stringify(found));
