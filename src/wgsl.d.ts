declare module '*.wgsl' {
  const source: import('./engine/shaderText.ts').ShaderSource;
  export default source;
}
