/**
 * The project's own lint rule: no literal is spread into a literal, as in `{ ...{ a, b }, c }`. The type check does not look for fields
 * too many behind a spread, so a parameter that a function does not have would be passed in silence.
 */
const MESSAGE =
  "An object literal is spread into another one: write its fields there, so that one too many is a type error";

/** The expression without `as` and `satisfies`; parentheses are no nodes. */
function bare(node: Deno.lint.Node): Deno.lint.Node {
  return node.type === "TSAsExpression" || node.type === "TSSatisfiesExpression" ? bare(node.expression) : node;
}

const plugin: Deno.lint.Plugin = {
  name: "spread",
  rules: {
    "no-literal": {
      create: (context) => ({
        "ObjectExpression > SpreadElement": (node: Deno.lint.SpreadElement) => {
          if (bare(node.argument).type === "ObjectExpression") {
            context.report({ node: node.argument, message: MESSAGE });
          }
        },
      }),
    },
  },
};
export default plugin;
