// From the outputs of the network to an answer, as classifier/processing/rules.py and softmax.py.

// Return the probabilities of the classes, in double precision.
export function softmax(logits, temperature) {
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const largest = Math.max(...scaled);
  const exponentials = scaled.map((value) => Math.exp(value - largest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}

// Return what is answered: index of the class (of the most probable where it is unknown), reason
// why it is unknown or null, prediction set or null, and the probabilities. `outside` is the outside
// score, or null.
export function decide(logits, outside, { temperature, decision }) {
  const probabilities = softmax(logits, temperature);
  const costs = expectedCosts(probabilities, decision.costs);
  let reason = null;
  // The last reason that holds is the one that is given.
  if (least(costs) === probabilities.length) reason = "expected cost";
  if (Math.max(...probabilities) < (decision.reject_below ?? 0)) reason = "low confidence";
  const limit = decision.outside_above;
  if (outside !== null && limit !== null && outside > limit) reason = "none of the classes";
  const index = reason ? ranked(probabilities)[0] : least(costs.slice(0, probabilities.length));
  return { index, reason, set: predictionSet(probabilities, decision.sets), probabilities };
}

// Return the indices of the classes from the most probable on.
export function ranked(probabilities) {
  const order = probabilities.map((_, index) => index);
  return order.sort((one, other) => probabilities[other] - probabilities[one]);
}

// Return the training images that are most like an image, as classifier/processing/similar_images.py.
export function mostSimilar(similarity, { paths, labels }) {
  return ranked(Array.from(similarity)).slice(0, 4).map((tile) =>
    ({ path: paths[tile], index: labels[tile], similarity: similarity[tile], tile }));
}

// The cost of each class, then that of the answer "unknown" where it has one.
function expectedCosts(probabilities, costs) {
  if (costs === null) return probabilities.map((probability) => 1 - probability);
  const expected = probabilities.map((_, predicted) => probabilities.reduce((sum, share, actual) =>
    sum + share * (costs.errors ? costs.errors[actual][predicted] : Number(actual !== predicted)), 0));
  return costs.reject === null ? expected : [...expected, costs.reject];
}

function predictionSet(probabilities, sets) {
  if (sets === null) return null;
  const order = ranked(probabilities);
  return order.filter((index) => index === order[0] || probabilities[index] >= sets.thresholds[index]);
}

function least(values) {
  return values.indexOf(Math.min(...values));
}
