/* SPDX-License-Identifier: Apache-2.0 */
/** @file export.h
 *  @brief How libmtl's symbols are declared: visibility, C linkage, must-check results.
 */
#ifndef MTL_EXPORT_H
#define MTL_EXPORT_H

#if defined(MTL_STATIC)
#define MTL_API
#elif defined(_WIN32)
#ifdef MTL_BUILDING
#define MTL_API __declspec(dllexport)
#else
#define MTL_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define MTL_API __attribute__((visibility("default")))
#else
#define MTL_API
#endif

/** The result of the function must be looked at: it is where errors are reported. */
#if defined(__GNUC__)
#define MTL_NODISCARD __attribute__((warn_unused_result))
#else
#define MTL_NODISCARD
#endif

#ifdef __cplusplus
#define MTL_BEGIN_DECLS extern "C" {
#define MTL_END_DECLS }
#else
#define MTL_BEGIN_DECLS
#define MTL_END_DECLS
#endif

#endif
